//! The default driver: pinned threads on io_uring or epoll.

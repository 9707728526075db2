//! HTTP/1.1 as a sans-I/O protocol: bytes in, requests out; replies in, bytes out.

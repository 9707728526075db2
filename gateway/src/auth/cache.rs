//! Tokens that have been verified, until they expire.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use orderlane_core::Time;

use super::Principal;

/// Tokens that are kept, at most; one more takes the place of the oldest.
pub(super) const TOKENS_MAX: usize = 10_000;
/// The last bytes of a token, all of its signature: as good as a hash of the whole, and free.
const TAIL_LEN: usize = 32;

type Tail = [u8; TAIL_LEN];

/// Verified tokens by their tail. The whole token is compared, so a tail that two tokens share costs a verification and
/// nothing else.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: HashMap<Tail, Entry>,
    /// Oldest first; also those whose entry is gone already.
    order: VecDeque<Tail>,
}

#[derive(Debug)]
struct Entry {
    token: Box<[u8]>,
    principal: Rc<Principal>,
    expires_at: Time,
}

impl Cache {
    /// The principal of a token that was verified before and has not expired.
    pub(super) fn find(&mut self, token: &[u8], now: Time) -> Option<Rc<Principal>> {
        let tail = token.last_chunk::<TAIL_LEN>()?;
        let entry = self.entries.get(tail)?;
        if *entry.token != *token {
            return None;
        }
        if now >= entry.expires_at {
            self.entries.remove(tail);
            return None;
        }
        Some(Rc::clone(&entry.principal))
    }

    /// Keeps a verified token.
    pub(super) fn insert(&mut self, token: &[u8], principal: Rc<Principal>, expires_at: Time) {
        let Some(tail) = token.last_chunk::<TAIL_LEN>() else {
            return;
        };
        if self.order.len() == TOKENS_MAX {
            let oldest = self.order.pop_front().expect("a full queue is not empty");
            self.entries.remove(&oldest);
        }
        self.order.push_back(*tail);
        self.entries.insert(*tail, Entry { token: token.into(), principal, expires_at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: usize) -> Vec<u8> {
        format!("{number:064}").into_bytes()
    }

    #[test]
    fn the_cache_is_bounded_and_forgets_the_oldest() {
        let mut cache = Cache::default();
        let principal = Rc::new(Principal::new("alice", ""));
        for number in 0..=TOKENS_MAX {
            cache.insert(&token(number), Rc::clone(&principal), Time(10));
        }
        assert_eq!((cache.entries.len(), cache.order.len()), (TOKENS_MAX, TOKENS_MAX));
        assert!(cache.find(&token(0), Time(1)).is_none());
        assert!(cache.find(&token(1), Time(1)).is_some());
        assert!(cache.find(&token(TOKENS_MAX), Time(1)).is_some());
    }

    #[test]
    fn the_whole_token_counts_and_its_time() {
        let mut cache = Cache::default();
        cache.insert(&token(1), Rc::new(Principal::new("alice", "")), Time(10));
        let mut other = token(1);
        other[0] = b'x';
        assert!(cache.find(&other, Time(1)).is_none());
        assert!(cache.find(b"short", Time(1)).is_none());
        assert!(cache.find(&token(1), Time(9)).is_some());
        assert!(cache.find(&token(1), Time(10)).is_none());
        for _ in 0..3 * TOKENS_MAX {
            cache.insert(&token(1), Rc::new(Principal::new("alice", "")), Time(10));
            assert!(cache.find(&token(1), Time(10)).is_none(), "expired");
        }
        assert!(cache.order.len() <= TOKENS_MAX);
    }
}

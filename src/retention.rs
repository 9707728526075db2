//! What is kept, as the flags say it, checked.

use std::time::Duration;

use orderlane_gateway::actuator::Retention;

use crate::cli;
use crate::error::{Error, Result};

/// Bytes that stay free for each lane: two segments of the journal, one of them being filled, and a run on its way.
const RESERVE_BYTES_LANE: u64 = 192 << 20;
/// Bytes that stay free for what all lanes share: a checkpoint, the archive's own journal.
const RESERVE_BYTES_SHARED: u64 = 64 << 20;

/// What a server with so many lanes keeps.
pub(crate) fn retention(keep: &cli::Keep, lanes: usize) -> Result<Retention> {
    if keep.keep_orders < keep.keep_keys {
        return Err(Error::usage(format!(
            "--keep-orders {} is shorter than --keep-keys {}: a key answers with its order; keep orders at least as long",
            humantime::format_duration(keep.keep_orders),
            humantime::format_duration(keep.keep_keys)
        )));
    }
    if keep.keep_keys < Duration::from_secs(1) {
        return Err(Error::usage("--keep-keys: at least one second"));
    }
    let reserve_default = RESERVE_BYTES_LANE * lanes as u64 + RESERVE_BYTES_SHARED;
    Ok(Retention {
        key_micros: micros(keep.keep_keys),
        keys_max: Some(keep.keep_keys_max).filter(|max| *max > 0),
        order_micros: micros(keep.keep_orders),
        order_bytes_max: keep.keep_orders_bytes.map(|size| size.0),
        disk_reserve_bytes: keep.disk_reserve.map_or(reserve_default, |size| size.0),
        data_bytes_max: keep.data_max.map(|size| size.0),
        is_audited: keep.audit_dir.is_some(),
        window_orders: keep.archive_window,
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn of(flags: &[&str]) -> Result<Retention> {
        let arguments = ["orderlane", "serve"].iter().chain(flags);
        let cli::Command::Serve(serve) = cli::Cli::parse_from(arguments).command else { panic!("serve was asked for") };
        retention(&serve.engine.keep, 2)
    }

    #[test]
    fn the_defaults() {
        let found = of(&[]).expect("the defaults go together");
        assert_eq!(found.key_micros, 24 * 3_600_000_000);
        assert_eq!(found.keys_max, Some(100_000_000));
        assert_eq!(found.order_micros, 30 * 24 * 3_600_000_000);
        assert_eq!((found.order_bytes_max, found.data_bytes_max, found.is_audited), (None, None, false));
        assert_eq!(found.disk_reserve_bytes, (2 * 192 + 64) << 20);
        let flags = ["--keep-keys-max=0", "--disk-reserve=1GiB", "--data-max=1GB", "--keep-orders-bytes=50GB"];
        let found = of(&flags).expect("sizes");
        assert_eq!((found.keys_max, found.disk_reserve_bytes), (None, 1 << 30));
        assert_eq!((found.data_bytes_max, found.order_bytes_max), (Some(1_000_000_000), Some(50_000_000_000)));
    }

    #[test]
    fn keys_do_not_outlive_their_orders() {
        let refused = of(&["--keep-orders=1h", "--keep-keys=2h"]).expect_err("shorter").to_string();
        assert!(refused.contains("--keep-orders 1h") && refused.contains("--keep-keys 2h"), "{refused}");
        assert!(of(&["--keep-orders=2h", "--keep-keys=2h"]).is_ok());
        assert!(of(&["--keep-keys=0s"]).is_err());
    }
}

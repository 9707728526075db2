//! What is kept: the limits, and what they really give at the present rate.

use orderlane_core::Time;
use orderlane_lane::ArchiveMetrics;
use serde_json::{Value, json};

use crate::json::text::put_time;

/// Microseconds of an hour.
const HOUR_MICROS: u64 = 3_600_000_000;

/// The limits of what is kept.
#[derive(Clone, Debug)]
pub struct Retention {
    /// How long a key is honoured, from the end of its order's saga.
    pub key_micros: u64,
    /// Keys of finished orders, at most.
    pub keys_max: Option<u64>,
    /// How long a finished order is kept.
    pub order_micros: u64,
    /// Bytes of finished orders, at most.
    pub order_bytes_max: Option<u64>,
    /// Bytes of the disk that stay free.
    pub disk_reserve_bytes: u64,
    /// Bytes that the data directory may use.
    pub data_bytes_max: Option<u64>,
    /// Whether orders are written elsewhere before they are dropped.
    pub is_audited: bool,
    /// Orders of a window, which goes as a whole: what is kept falls short of a limit by less than this.
    pub window_orders: u64,
}

impl Retention {
    /// Seconds that a key is honoured, from the end of its order's saga, as far as no limit of count cuts it short.
    #[must_use]
    pub fn key_seconds(&self) -> u64 {
        self.key_micros / 1_000_000
    }

    pub(super) fn render(&self, figures: &ArchiveMetrics) -> Value {
        let [keys_hours, orders_hours] = [self.key_micros, self.order_micros].map(hours);
        let keys_room = self.keys_max.map(|max| max.saturating_sub(self.window_orders));
        let orders_room = self.order_bytes_max.map(|max| {
            let order_bytes = figures.order_bytes.value() / figures.orders.value().max(1);
            max.saturating_sub(self.window_orders.saturating_mul(order_bytes))
        });
        json!({
            "keys": {
                "countedFrom": "the end of the saga",
                "hoursConfigured": keys_hours,
                "keysMax": self.keys_max,
                "keysStored": figures.keys.value(),
                "oldest": time(figures.keys_oldest_micros.value()),
                "keysPerHour": figures.orders_per_hour.value(),
                "hoursAtPresentRate": at_rate(keys_hours, keys_room, figures.orders_per_hour.value()),
            },
            "orders": {
                "hoursConfigured": orders_hours,
                "bytesMax": self.order_bytes_max,
                "ordersStored": figures.orders.value(),
                "bytesStored": figures.order_bytes.value(),
                "oldest": time(figures.orders_oldest_micros.value()),
                "bytesPerHour": figures.order_bytes_per_hour.value(),
                "hoursAtPresentRate": at_rate(orders_hours, orders_room, figures.order_bytes_per_hour.value()),
                "audited": self.is_audited,
            },
            "windowOrders": self.window_orders,
            "disk": {
                "reserveBytes": self.disk_reserve_bytes,
                "dataBytesMax": self.data_bytes_max,
                "shedding": figures.disk_shedding.value() > 0,
            },
        })
    }
}

fn hours(micros: u64) -> f64 {
    micros as f64 / HOUR_MICROS as f64
}

/// The hours that fit: those of the limit of age, or fewer when the room fills up earlier.
fn at_rate(configured: f64, room: Option<u64>, per_hour: u64) -> f64 {
    match room {
        Some(room) if per_hour > 0 => configured.min(room as f64 / per_hour as f64),
        _ => configured,
    }
}

fn time(micros: u64) -> Value {
    if micros == 0 {
        return Value::Null;
    }
    let mut text = Vec::new();
    put_time(Time(micros), &mut text);
    serde_json::from_slice(&text).expect("a time is a JSON string")
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_795_517_087_000_000;

    fn retention() -> Retention {
        Retention {
            key_micros: 24 * HOUR_MICROS,
            keys_max: Some(200_000_000),
            order_micros: 720 * HOUR_MICROS,
            order_bytes_max: None,
            disk_reserve_bytes: 1 << 28,
            data_bytes_max: None,
            is_audited: false,
            window_orders: 4_000_000,
        }
    }

    #[test]
    fn a_limit_of_count_shortens_the_hours_at_a_high_rate_only() {
        let figures = ArchiveMetrics::default();
        let keys = |figures: &ArchiveMetrics| retention().render(figures)["keys"].clone();
        assert_eq!(
            (keys(&figures)["hoursAtPresentRate"].as_f64(), &keys(&figures)["oldest"]),
            (Some(24.0), &Value::Null)
        );
        // 40,000 a second: 144 million an hour.
        for second in 0..60 {
            figures.run_stored(Time(START + second * 1_000_000), 40_000, 40_000 * 300);
        }
        assert_eq!((figures.runs.value(), figures.orders_per_hour.value()), (60, 144_000_000));
        let shown = keys(&figures)["hoursAtPresentRate"].as_f64().expect("a number");
        assert!((shown - 196.0 / 144.0).abs() < 1e-9, "{shown}");
        assert_eq!(retention().render(&figures)["orders"]["hoursAtPresentRate"], 720.0, "no limit of bytes");
        // A quiet hour: the rate follows.
        figures.run_stored(Time(START + 3_660_000_000), 36_000, 36_000 * 300);
        assert!(figures.orders_per_hour.value() < 40_000, "{}", figures.orders_per_hour.value());
        assert_eq!(keys(&figures)["hoursAtPresentRate"], 24.0);
    }
}

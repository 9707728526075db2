//! Which path is what, which methods it has, and what a caller needs for it.

use std::borrow::Cow;

use crate::auth::Scope;
use crate::http::decode;
use crate::problem::Problem;

/// Which paths a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// The API and `/actuator`.
    All,
    /// The API alone: `/actuator` has a port of its own.
    Api,
    /// `/actuator` alone.
    Management,
}

/// A path with what stands in its variable part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Path<'h> {
    Orders,
    OrdersBatch,
    Order(Cow<'h, str>),
    OrderCancel(Cow<'h, str>),
    Product(Cow<'h, str>),
    ProductsBatch,
    Inventory(Cow<'h, str>),
    Adjustments(Cow<'h, str>),
    Invariants,
    Health(Option<Cow<'h, str>>),
    Info,
    Prometheus,
    /// `*`
    Server,
    Unknown,
}

/// An operation: a path template with a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    PlaceOrder,
    PlaceBatch,
    ListOrders,
    ReadOrder,
    CancelOrder,
    PutProduct,
    ReadProduct,
    LoadProducts,
    AdjustStock,
    ReadInventory,
    Invariants,
    Health,
    HealthGroup,
    Info,
    Prometheus,
    Server,
    Unknown,
}

/// What the body of a request to an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// Not looked at.
    None,
    /// One JSON document.
    Document,
    /// Many items, a JSON array or lines.
    Items,
    /// Many items, lines only.
    Lines,
}

impl Endpoint {
    pub(crate) const ALL: [Endpoint; 17] = [
        Endpoint::PlaceOrder,
        Endpoint::PlaceBatch,
        Endpoint::ListOrders,
        Endpoint::ReadOrder,
        Endpoint::CancelOrder,
        Endpoint::PutProduct,
        Endpoint::ReadProduct,
        Endpoint::LoadProducts,
        Endpoint::AdjustStock,
        Endpoint::ReadInventory,
        Endpoint::Invariants,
        Endpoint::Health,
        Endpoint::HealthGroup,
        Endpoint::Info,
        Endpoint::Prometheus,
        Endpoint::Server,
        Endpoint::Unknown,
    ];

    /// The `uri` label.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Endpoint::PlaceOrder | Endpoint::ListOrders => "/v1/orders",
            Endpoint::PlaceBatch => "/v1/orders:batch",
            Endpoint::ReadOrder => "/v1/orders/{id}",
            Endpoint::CancelOrder => "/v1/orders/{id}/cancel",
            Endpoint::PutProduct | Endpoint::ReadProduct => "/v1/products/{sku}",
            Endpoint::LoadProducts => "/v1/products:batch",
            Endpoint::AdjustStock => "/v1/inventory/{sku}/adjustments",
            Endpoint::ReadInventory => "/v1/inventory/{sku}",
            Endpoint::Invariants => "/v1/invariants",
            Endpoint::Health => "/actuator/health",
            Endpoint::HealthGroup => "/actuator/health/{*path}",
            Endpoint::Info => "/actuator/info",
            Endpoint::Prometheus => "/actuator/prometheus",
            Endpoint::Server => "*",
            Endpoint::Unknown => "UNKNOWN",
        }
    }

    /// The scope that a caller needs; `None`: any valid token will do.
    pub(crate) fn scope(self) -> Option<Scope> {
        match self {
            Endpoint::PlaceOrder | Endpoint::PlaceBatch | Endpoint::CancelOrder => Some(Scope::OrdersWrite),
            Endpoint::ListOrders | Endpoint::ReadOrder => Some(Scope::OrdersRead),
            Endpoint::PutProduct | Endpoint::LoadProducts => Some(Scope::CatalogWrite),
            Endpoint::AdjustStock => Some(Scope::InventoryWrite),
            Endpoint::Invariants => Some(Scope::Admin),
            Endpoint::ReadProduct
            | Endpoint::ReadInventory
            | Endpoint::Health
            | Endpoint::HealthGroup
            | Endpoint::Info
            | Endpoint::Prometheus
            | Endpoint::Server
            | Endpoint::Unknown => None,
        }
    }

    pub(crate) fn body(self) -> BodyKind {
        match self {
            Endpoint::PlaceOrder | Endpoint::PutProduct | Endpoint::AdjustStock => BodyKind::Document,
            Endpoint::PlaceBatch => BodyKind::Items,
            Endpoint::LoadProducts => BodyKind::Lines,
            Endpoint::ListOrders
            | Endpoint::ReadOrder
            | Endpoint::CancelOrder
            | Endpoint::ReadProduct
            | Endpoint::ReadInventory
            | Endpoint::Invariants
            | Endpoint::Health
            | Endpoint::HealthGroup
            | Endpoint::Info
            | Endpoint::Prometheus
            | Endpoint::Server
            | Endpoint::Unknown => BodyKind::None,
        }
    }

    /// Whether it takes an `Idempotency-Key`.
    pub(crate) fn needs_key(self) -> bool {
        matches!(self, Endpoint::PlaceOrder | Endpoint::AdjustStock)
    }

    /// Query parameters that it knows; others are refused.
    pub(crate) fn query_names(self) -> &'static [&'static str] {
        match self {
            Endpoint::ListOrders => &["customer", "status", "limit", "cursor"],
            Endpoint::ReadOrder => &["wait"],
            _ => &[],
        }
    }
}

impl<'h> Path<'h> {
    /// What a path (still percent-encoded) is on this surface.
    ///
    /// # Errors
    /// `bad-request` when it cannot be decoded.
    pub(crate) fn find(path: &'h str, surface: Surface) -> Result<Path<'h>, Problem> {
        if path == "*" {
            return Ok(Path::Server);
        }
        let mut segments: [Cow<'h, str>; 5] = Default::default();
        let mut count = 0;
        for segment in path[1..].split('/') {
            let Some(place) = segments.get_mut(count) else { return Ok(Path::Unknown) };
            *place = decode(segment).ok_or_else(|| {
                Problem::new(crate::problem::Code::BadRequest, "The path of the request target is not valid.")
            })?;
            count += 1;
        }
        let [first, second, third, fourth, _] = segments;
        let path = match (count, &*first, &*second, &*fourth) {
            (2, "v1", "orders", _) => Path::Orders,
            (2, "v1", "orders:batch", _) => Path::OrdersBatch,
            (3, "v1", "orders", _) => Path::Order(third),
            (4, "v1", "orders", "cancel") => Path::OrderCancel(third),
            (2, "v1", "products:batch", _) => Path::ProductsBatch,
            (3, "v1", "products", _) => Path::Product(third),
            (3, "v1", "inventory", _) => Path::Inventory(third),
            (4, "v1", "inventory", "adjustments") => Path::Adjustments(third),
            (2, "v1", "invariants", _) => Path::Invariants,
            (2, "actuator", "health", _) => Path::Health(None),
            (3, "actuator", "health", _) => Path::Health(Some(third)),
            (2, "actuator", "info", _) => Path::Info,
            (2, "actuator", "prometheus", _) => Path::Prometheus,
            _ => Path::Unknown,
        };
        Ok(if path.is_on(surface) { path } else { Path::Unknown })
    }

    fn is_on(&self, surface: Surface) -> bool {
        match surface {
            Surface::All => true,
            Surface::Api => !self.is_actuator(),
            Surface::Management => self.is_actuator(),
        }
    }

    /// Whether it answers without a token.
    pub(crate) fn is_actuator(&self) -> bool {
        matches!(self, Path::Health(_) | Path::Info | Path::Prometheus)
    }

    /// The operation that a method asks for here; HEAD is GET without the body.
    pub(crate) fn endpoint(&self, method: &str) -> Option<Endpoint> {
        let method = if method == "HEAD" { "GET" } else { method };
        let endpoint = match (self, method) {
            (Path::Orders, "POST") => Endpoint::PlaceOrder,
            (Path::Orders, "GET") => Endpoint::ListOrders,
            (Path::OrdersBatch, "POST") => Endpoint::PlaceBatch,
            (Path::Order(_), "GET") => Endpoint::ReadOrder,
            (Path::OrderCancel(_), "POST") => Endpoint::CancelOrder,
            (Path::Product(_), "PUT") => Endpoint::PutProduct,
            (Path::Product(_), "GET") => Endpoint::ReadProduct,
            (Path::ProductsBatch, "POST") => Endpoint::LoadProducts,
            (Path::Inventory(_), "GET") => Endpoint::ReadInventory,
            (Path::Adjustments(_), "POST") => Endpoint::AdjustStock,
            (Path::Invariants, "GET") => Endpoint::Invariants,
            (Path::Health(None), "GET") => Endpoint::Health,
            (Path::Health(Some(_)), "GET") => Endpoint::HealthGroup,
            (Path::Info, "GET") => Endpoint::Info,
            (Path::Prometheus, "GET") => Endpoint::Prometheus,
            (Path::Server, "OPTIONS") => Endpoint::Server,
            _ => return None,
        };
        Some(endpoint)
    }

    /// The value of `Allow`; `None` for an unknown path.
    pub(crate) fn allow(&self) -> Option<&'static str> {
        match self {
            Path::Orders => Some("GET, HEAD, POST"),
            Path::OrdersBatch | Path::OrderCancel(_) | Path::ProductsBatch | Path::Adjustments(_) => Some("POST"),
            Path::Product(_) => Some("GET, HEAD, PUT"),
            Path::Order(_)
            | Path::Inventory(_)
            | Path::Invariants
            | Path::Health(_)
            | Path::Info
            | Path::Prometheus => Some("GET, HEAD"),
            Path::Server => Some("OPTIONS"),
            Path::Unknown => None,
        }
    }

    /// The variable part.
    pub(crate) fn into_name(self) -> Cow<'h, str> {
        match self {
            Path::Order(name)
            | Path::OrderCancel(name)
            | Path::Product(name)
            | Path::Inventory(name)
            | Path::Adjustments(name)
            | Path::Health(Some(name)) => name,
            Path::Orders
            | Path::OrdersBatch
            | Path::ProductsBatch
            | Path::Invariants
            | Path::Health(None)
            | Path::Info
            | Path::Prometheus
            | Path::Server
            | Path::Unknown => Cow::Borrowed(""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_has_its_place_in_the_list() {
        for (index, endpoint) in Endpoint::ALL.into_iter().enumerate() {
            assert_eq!(endpoint as usize, index);
        }
    }

    #[test]
    fn paths() {
        for (path, method, endpoint) in [
            ("/v1/orders", "POST", Some(Endpoint::PlaceOrder)),
            ("/v1/orders", "HEAD", Some(Endpoint::ListOrders)),
            ("/v1/orders%3Abatch", "POST", Some(Endpoint::PlaceBatch)),
            ("/v1/orders/o_1", "GET", Some(Endpoint::ReadOrder)),
            ("/v1/orders/o_1/cancel", "POST", Some(Endpoint::CancelOrder)),
            ("/v1/orders/o_1%2Fcancel", "POST", None),
            ("/v1/orders/", "POST", None),
            ("/v1/orders", "post", None),
            ("//v1/orders", "GET", None),
            ("/v1/products/a:b", "PUT", Some(Endpoint::PutProduct)),
            ("/v1/inventory/a/adjustments", "POST", Some(Endpoint::AdjustStock)),
            ("/v1/inventory/a/adjustments/b/c", "POST", None),
            ("/actuator/health/liveness", "GET", Some(Endpoint::HealthGroup)),
            ("/", "GET", None),
        ] {
            let found = Path::find(path, Surface::All).expect("decodes");
            assert_eq!(found.endpoint(method), endpoint, "{method} {path}");
        }
        assert_eq!(Path::find("/actuator/info", Surface::Api).expect("decodes"), Path::Unknown);
        assert_eq!(Path::find("/v1/orders", Surface::Management).expect("decodes"), Path::Unknown);
        assert!(Path::find("/v1/%", Surface::All).is_err());
    }
}

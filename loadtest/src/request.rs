//! Requests, rendered once and patched per order.

use crate::{
    options::Options,
    workload::{PlannedOrder, Workload, push_number},
};

/// Renders requests into an output buffer. All that does not depend on the order is a prefix that is copied.
#[derive(Debug)]
pub(crate) struct RequestTemplate {
    /// Up to `Idempotency-Key: `.
    single: Vec<u8>,
    /// Up to `Content-Length: `.
    batch: Vec<u8>,
    body: Vec<u8>,
    order: PlannedOrder,
}

impl RequestTemplate {
    pub(crate) fn new(options: &Options) -> Self {
        let head = |path: &str, content_type: &str, last: &str| {
            let authorization =
                options.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
            format!(
                "POST {path} HTTP/1.1\r\nHost: {}\r\n{authorization}Content-Type: {content_type}\r\n{last}",
                options.target
            )
            .into_bytes()
        };
        Self {
            single: head("/v1/orders", "application/json", "Idempotency-Key: "),
            batch: head("/v1/orders:batch", "application/x-ndjson", "Accept: application/x-ndjson\r\nContent-Length: "),
            body: Vec::new(),
            order: PlannedOrder::default(),
        }
    }

    /// Appends `POST /v1/orders` for order `index`.
    pub(crate) fn single_into(&mut self, workload: &Workload, index: u64, out: &mut Vec<u8>) {
        self.body.clear();
        self.body.push(b'{');
        workload.order_into(index, &mut self.order);
        workload.fields_into(&self.order, &mut self.body);
        out.extend_from_slice(&self.single);
        workload.key_into(index, out);
        out.extend_from_slice(b"\r\nContent-Length: ");
        self.finish(out);
    }

    /// Appends `POST /v1/orders:batch` for some orders.
    pub(crate) fn batch_into(&mut self, workload: &Workload, indices: impl Iterator<Item = u64>, out: &mut Vec<u8>) {
        self.body.clear();
        for index in indices {
            self.body.extend_from_slice(b"{\"idempotencyKey\":\"");
            workload.key_into(index, &mut self.body);
            self.body.extend_from_slice(b"\",");
            workload.order_into(index, &mut self.order);
            workload.fields_into(&self.order, &mut self.body);
            self.body.push(b'\n');
        }
        out.extend_from_slice(&self.batch);
        self.finish(out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        push_number(out, self.body.len() as u64);
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(&self.body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_complete() {
        let mut options = Options::new(([127, 0, 0, 1], 8080).into());
        (options.token, options.key_prefix) = (Some("t".into()), "run".into());
        let workload = Workload::new(&options);
        let (mut template, mut out) = (RequestTemplate::new(&options), Vec::new());
        template.single_into(&workload, 7, &mut out);
        let single = String::from_utf8(out).expect("ASCII");
        let (head, body) = single.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("POST /v1/orders HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer t\r\n"));
        assert!(head.ends_with(&format!("Idempotency-Key: run-7\r\nContent-Length: {}", body.len())));
        assert!(body.starts_with("{\"customer\":\"c-"));

        let mut out = Vec::new();
        template.batch_into(&workload, [7, 8].into_iter(), &mut out);
        let batch = String::from_utf8(out).expect("ASCII");
        let lines = batch.split_once("\r\n\r\n").expect("a head and a body").1;
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.starts_with(&format!("{{\"idempotencyKey\":\"run-7\",{}\n", &body[1..])));
    }
}

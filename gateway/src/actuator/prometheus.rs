//! Which families a scrape has: the names that existing dashboards know, and our own.

use std::collections::BTreeMap;
use std::sync::Arc;

use orderlane_core::Status;
use orderlane_lane::metrics::{Cell, Histogram, SAGA_STEPS, TimeHistogram};
use orderlane_lane::{ArchiveMetrics, LaneMetrics};

use super::Actuator;
use super::exposition::{Exposition, HistogramSum, Kind, Label};
use super::process::Process;
use crate::metrics::{GatewayMetrics, RequestSeries};

/// Appends the exposition.
pub(super) fn render(actuator: &Actuator, out: &mut Vec<u8>) {
    out.reserve(64 * 1024);
    let mut exposition = Exposition::new(out);
    requests(actuator, &mut exposition);
    gateway(actuator, &mut exposition);
    orders(actuator, &mut exposition);
    commits(actuator, &mut exposition);
    if let Some((_, figures)) = &actuator.archive {
        archive(figures, &actuator.lanes, &mut exposition);
    }
    lanes(actuator, &mut exposition);
    process(&Process::look(), &mut exposition);
    constants(actuator, &mut exposition);
}

/// What tells one series of requests from another: template, method, status, outcome.
type RequestKey = (&'static str, &'static str, u16, &'static str);

fn requests(actuator: &Actuator, exposition: &mut Exposition<'_>) {
    let mut by_key: BTreeMap<RequestKey, Vec<&TimeHistogram>> = BTreeMap::new();
    for RequestSeries { method, uri, status, outcome, micros } in
        actuator.gateways.iter().flat_map(|gateway| gateway.requests())
    {
        by_key.entry((uri, method, status, outcome)).or_default().push(micros);
    }
    let sums: Vec<_> = by_key.into_iter().map(|(key, lanes)| (key, HistogramSum::of_micros(lanes))).collect();
    let name = "http_server_requests_seconds";
    let mut family = exposition.family(Kind::Histogram, name, "From the first byte of a request's head to its answer.");
    for (key, sum) in &sums {
        family.histogram(&request_labels(key, &key.2.to_string()), sum);
    }
    let name = "http_server_requests_seconds_max";
    let mut family = exposition.family(Kind::Gauge, name, "The longest of these requests since the start.");
    for (key, sum) in &sums {
        family.series(&request_labels(key, &key.2.to_string()), sum.max());
    }
}

/// The labels that Spring Boot 3 gives; nothing here is an exception.
fn request_labels<'s>((uri, method, _, outcome): &RequestKey, status: &'s str) -> [Label<'s>; 6] {
    [
        ("method", method),
        ("uri", uri),
        ("status", status),
        ("outcome", outcome),
        ("error", "none"),
        ("exception", "none"),
    ]
}

fn gateway(actuator: &Actuator, exposition: &mut Exposition<'_>) {
    let sum = |cell: fn(&GatewayMetrics) -> &Cell| total(actuator.gateways.iter().map(|gateway| cell(gateway)));
    for (kind, name, help, value) in [
        (Kind::Gauge, "http_server_requests_active", "Requests in progress.", sum(|m| &m.requests_active)),
        (Kind::Gauge, "http_server_connections_active", "Connections open.", sum(|m| &m.connections_active)),
        (
            Kind::Counter,
            "http_server_connections_accepted_total",
            "Connections accepted.",
            sum(|m| &m.connections_accepted),
        ),
        (
            Kind::Counter,
            "http_server_connections_refused_total",
            "Connections refused because a lane had too many.",
            sum(|m| &m.connections_refused),
        ),
        (
            Kind::Counter,
            "http_server_connections_timed_out_total",
            "Connections cut by a deadline.",
            sum(|m| &m.connections_timed_out),
        ),
        (Kind::Counter, "http_server_received_bytes_total", "Bytes received.", sum(|m| &m.bytes_received)),
        (Kind::Counter, "http_server_sent_bytes_total", "Bytes sent.", sum(|m| &m.bytes_sent)),
        (Kind::Counter, "http_server_batch_items_total", "Items of batches answered.", sum(|m| &m.batch_items)),
    ] {
        exposition.single(kind, name, help, value);
    }
}

fn orders(actuator: &Actuator, exposition: &mut Exposition<'_>) {
    let lanes = &actuator.lanes;
    let accepted = total(lanes.iter().map(|lane| &lane.orders_created));
    exposition.single(Kind::Counter, "orders_accepted_total", "Orders made durable.", accepted);
    let mut ended = exposition.family(Kind::Counter, "orders_total", "Orders whose saga has ended, by its end.");
    for status in Status::ALL.into_iter().filter(|status| status.is_end()) {
        let count = total(lanes.iter().map(|lane| &lane.orders_ended[status as usize]));
        ended.series(&[("outcome", &status.name().to_ascii_lowercase())], count);
    }
    let mut inflight = exposition.family(Kind::Gauge, "saga_inflight", "Orders whose saga has not ended, by status.");
    for status in Status::ALL.into_iter().filter(|status| !status.is_end()) {
        let count = total(lanes.iter().map(|lane| &lane.orders_in[status as usize]));
        inflight.series(&[("state", status.name())], count);
    }
    let steps: Vec<_> = SAGA_STEPS
        .iter()
        .enumerate()
        .map(|(index, step)| (*step, HistogramSum::of_micros(lanes.iter().map(|lane| &lane.saga_micros[index]))))
        .collect();
    let mut family = exposition.family(
        Kind::Histogram,
        "saga_step_seconds",
        "From the placing of an order until its saga has reached the step.",
    );
    for (step, sum) in &steps {
        family.histogram(&[("step", step), ("outcome", "reached")], sum);
    }
    let mut family = exposition.family(Kind::Gauge, "saga_step_seconds_max", "The longest of these since the start.");
    for (step, sum) in &steps {
        family.series(&[("step", step), ("outcome", "reached")], sum.max());
    }
    let mails = total(lanes.iter().map(|lane| &lane.mails));
    exposition.single(Kind::Counter, "mails_total", "Confirmations that went out.", mails);
}

fn commits(actuator: &Actuator, exposition: &mut Exposition<'_>) {
    let lanes = &actuator.lanes;
    let sum = |cell: fn(&LaneMetrics) -> &Cell| total(lanes.iter().map(|lane| cell(lane)));
    timer(
        exposition,
        ["commit_seconds", "commit_seconds_max"],
        "From the start of a commit to its end.",
        lanes.iter().map(|lane| &lane.commit_micros),
    );
    timer(
        exposition,
        ["commit_sync_seconds", "commit_sync_seconds_max"],
        "The durable write of a commit alone.",
        lanes.iter().map(|lane| &lane.sync_micros),
    );
    let orders = HistogramSum::of_counts(lanes.iter().map(|lane| &lane.commit_orders));
    let help = "Orders created by each commit that created any.";
    exposition.family(Kind::Histogram, "commit_batch_size", help).histogram(&[], &orders);
    exposition.single(Kind::Counter, "commits_total", "Commits made durable.", sum(|m| &m.commits));
    exposition.single(Kind::Counter, "commit_events_total", "Events made durable.", sum(|m| &m.events));
    exposition.single(Kind::Counter, "commit_written_bytes_total", "Bytes made durable.", sum(|m| &m.commit_bytes));
}

fn archive(figures: &ArchiveMetrics, lanes: &[Arc<LaneMetrics>], exposition: &mut Exposition<'_>) {
    timer(
        exposition,
        ["cut_pause_seconds", "cut_pause_seconds_max"],
        "A round's share of a cut or of the eviction after it: so long a lane did nothing else.",
        lanes.iter().map(|lane| &lane.cut_micros),
    );
    let in_memory = total(lanes.iter().map(|lane| &lane.orders_in_memory));
    exposition.single(Kind::Gauge, "orders_in_memory", "Orders in memory when the last cut moved on.", in_memory);
    for (kind, name, help, cell) in [
        (Kind::Gauge, "archive_orders", "Finished orders in the archive.", &figures.orders),
        (Kind::Gauge, "archive_order_bytes", "Bytes of them on disk.", &figures.order_bytes),
        (Kind::Gauge, "archive_keys", "Idempotency keys in the archive.", &figures.keys),
        (Kind::Gauge, "archive_windows", "Windows of the archive; each is dropped as a whole.", &figures.windows),
        (Kind::Counter, "archive_runs_total", "Runs of finished orders stored.", &figures.runs),
        (Kind::Gauge, "checkpoint_bytes", "Bytes of the last checkpoints of all lanes.", &figures.checkpoint_bytes),
        (
            Kind::Gauge,
            "disk_shedding",
            "Whether the disk is so full that new orders are refused.",
            &figures.disk_shedding,
        ),
    ] {
        exposition.single(kind, name, help, cell.value() as f64);
    }
    let name = ["archive_read_seconds", "archive_read_seconds_max"];
    timer(exposition, name, "Batched reads of the archive.", [&figures.read_micros]);
    let name = ["checkpoint_seconds", "checkpoint_seconds_max"];
    timer(exposition, name, "From the cut of a checkpoint until it was durable.", [&figures.checkpoint_micros]);
}

fn lanes(actuator: &Actuator, exposition: &mut Exposition<'_>) {
    let names: Vec<_> = (0..actuator.lanes.len()).map(|lane| format!("lane-{lane}")).collect();
    let mut each = |kind, name, help, value: fn(&LaneMetrics) -> u64| {
        let mut family = exposition.family(kind, name, help);
        for (name, lane) in names.iter().zip(&actuator.lanes) {
            family.series(&[("name", name)], value(lane) as f64);
        }
    };
    each(Kind::Gauge, "executor_active_threads", "Whether the lane works: 1, or sleeps: 0.", |m| m.active.value());
    each(Kind::Gauge, "executor_queued_tasks", "Inputs that wait for the lane.", |m| m.inbox_depth.value());
    each(Kind::Gauge, "executor_pool_size_threads", "Threads of the lane: always one.", |_| 1);
    each(Kind::Counter, "lane_turns_total", "Turns that handled at least one input.", |m| m.turns.value());
    each(Kind::Counter, "lane_inputs_total", "Inputs handled.", |m| m.inputs.value());
    each(Kind::Counter, "lane_overloaded_total", "Requests answered overloaded because a queue was full.", |m| {
        m.overloaded.value()
    });
    each(Kind::Counter, "lane_rings_full_total", "Times that a ring to another lane had no room for all of it.", |m| {
        m.rings_full.value()
    });
    timer(
        exposition,
        ["lane_stall_seconds", "lane_stall_seconds_max"],
        "How long the turns of a lane took.",
        actuator.lanes.iter().map(|lane| &lane.stall_micros),
    );
    let violations = total(actuator.lanes.iter().map(|lane| &lane.violations));
    let help = "Broken invariants found by the last audit of each shard; must be 0.";
    exposition.single(Kind::Gauge, "invariant_violations", help, violations);
}

fn process(process: &Process, exposition: &mut Exposition<'_>) {
    for (kind, name, help, value) in [
        (Kind::Counter, "process_cpu_seconds_total", "CPU time, user and system.", process.cpu_seconds),
        (Kind::Gauge, "process_uptime_seconds", "Since the start of the process.", process.uptime_seconds),
        (Kind::Gauge, "process_threads", "Threads.", process.threads),
        (Kind::Gauge, "process_resident_memory_bytes", "Memory in RAM.", process.resident_bytes),
        (Kind::Gauge, "process_virtual_memory_bytes", "Address space.", process.virtual_bytes),
        (Kind::Gauge, "process_open_fds", "Open file descriptors.", process.open_fds),
        (Kind::Gauge, "process_max_fds", "Open file descriptors, at most.", process.max_fds),
        (Kind::Gauge, "process_files_open_files", "Open file descriptors, as Micrometer names it.", process.open_fds),
        (Kind::Gauge, "process_files_max_files", "The bound of it, as Micrometer names it.", process.max_fds),
        (Kind::Gauge, "system_load_average_1m", "Load of the machine.", process.load_average_1m),
    ] {
        if let Some(value) = value {
            exposition.single(kind, name, help, value);
        }
    }
}

fn constants(actuator: &Actuator, exposition: &mut Exposition<'_>) {
    let info = &actuator.info;
    let started = info.started_at.0 as f64 / 1e6;
    exposition.single(Kind::Gauge, "process_start_time_seconds", "Start, since 1970.", started);
    // Micrometer's name, which dashboards know; promtool finds its suffix odd.
    exposition.single(Kind::Gauge, "system_cpu_count", "Cores that the process may use.", info.cores as f64);
    exposition
        .family(Kind::Gauge, "io_backend", "Always 1; the label says how the lanes do I/O.")
        .series(&[("backend", &info.io_backend)], 1.0);
    let (lanes, shards) = (info.lanes.to_string(), info.shards.to_string());
    exposition.family(Kind::Gauge, "build_info", "Always 1; the labels say what runs.").series(
        &[
            ("version", &info.version),
            ("commit", &info.commit),
            ("runtime", &info.runtime),
            ("durability", &info.durability),
            ("lanes", &lanes),
            ("shards", &shards),
        ],
        1.0,
    );
}

/// A histogram of times and the gauge of its maximum.
fn timer<'h, const N: usize>(
    exposition: &mut Exposition<'_>,
    [name, name_max]: [&'static str; 2],
    help: &str,
    lanes: impl IntoIterator<Item = &'h Histogram<N>>,
) {
    let sum = HistogramSum::of_micros(lanes);
    exposition.family(Kind::Histogram, name, help).histogram(&[], &sum);
    exposition.single(Kind::Gauge, name_max, "The longest of these since the start.", sum.max());
}

fn total<'c>(cells: impl IntoIterator<Item = &'c Cell>) -> f64 {
    cells.into_iter().map(Cell::value).sum::<u64>() as f64
}

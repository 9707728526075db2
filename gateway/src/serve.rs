//! The pump: accepts, reads, writes and keeps time for the connections of a lane, through its driver.

use std::rc::Rc;

use orderlane_core::Time;
use orderlane_lane::{Driver, Stream, StreamCloser, StreamReader, StreamWriter};

use crate::clients::{Client, Connections};
use crate::limits::{
    ACCEPT_BACKOFF_MICROS, DRAIN_MICROS_MAX, OUTPUT_LEN_MAX, READ_LEN_MAX, READ_LEN_MIN, SWEEP_MICROS,
};
use crate::routes::Surface;

/// The answer to one connection too many.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Serves what `listener` accepts until the lane drains; completes when the last connection has ended.
///
/// No future of the driver is dropped before it is ready: whoever wants a connection to end closes its socket.
pub async fn serve<D: Driver>(driver: D, listener: D::Listener, connections: Connections, surface: Surface) {
    let listener = Rc::new(listener);
    driver.spawn(keep_time(driver.clone(), Rc::clone(&listener), connections.clone()));
    while !connections.is_draining() {
        match driver.accept(&listener).await {
            Ok(stream) => start(&driver, stream, &connections, surface),
            Err(_) if connections.is_draining() => break,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                driver.sleep_until(driver.now().after_micros(ACCEPT_BACKOFF_MICROS)).await;
            }
        }
    }
    let end = driver.now().after_micros(DRAIN_MICROS_MAX);
    while !connections.is_empty() {
        if driver.now() >= end {
            connections.close_all();
        }
        driver.sleep_until(driver.now().after_micros(SWEEP_MICROS / 4)).await;
    }
}

/// Looks at the deadlines now and then, and closes the listener when the lane drains.
async fn keep_time<D: Driver>(driver: D, listener: Rc<D::Listener>, connections: Connections) {
    let mut is_open = true;
    while is_open || !connections.is_empty() {
        driver.sleep_until(driver.now().after_micros(SWEEP_MICROS)).await;
        if is_open && connections.is_draining() {
            driver.close_listener(&listener);
            is_open = false;
        }
        connections.sweep();
    }
}

fn start<D: Driver>(driver: &D, stream: D::Stream, connections: &Connections, surface: Surface) {
    let (reader, writer, closer) = stream.split();
    let closer = Rc::new(closer);
    match connections.add(Box::new(Shared(Rc::clone(&closer))), surface) {
        Some(client) => {
            driver.spawn(read(reader, Rc::clone(&client), connections.clone()));
            driver.spawn(write(writer, client, connections.clone()));
        }
        None => {
            connections.count(|metrics| metrics.connections_refused.add(1));
            driver.spawn(refuse(reader, writer, closer));
        }
    }
}

/// A closer that two may hold.
struct Shared<C>(Rc<C>);

impl<C: StreamCloser> StreamCloser for Shared<C> {
    fn close(&self) {
        self.0.close();
    }
}

async fn refuse<C: StreamCloser>(reader: impl StreamReader, mut writer: impl StreamWriter, closer: Rc<C>) {
    let _ = writer.write(FULL.to_vec(), 0).await;
    closer.close();
    drop(reader);
}

async fn read(mut reader: impl StreamReader, client: Rc<Client>, connections: Connections) {
    let mut buffer = Vec::with_capacity(READ_LEN_MIN);
    loop {
        client.readable.until(|| client.is_closed() || client.connection.borrow().wants_input()).await;
        let (result, filled) = reader.read(buffer).await;
        match result {
            Ok(0) => {
                client.connection.borrow_mut().end_input();
                connections.advance(&client);
                break;
            }
            Ok(count) => {
                client.connection.borrow_mut().receive(&filled, connections.now());
                connections.count(|metrics| metrics.bytes_received.add(count as u64));
                connections.advance(&client);
                buffer = next_buffer(filled, count);
            }
            Err(_) => {
                client.close();
                break;
            }
        }
    }
    connections.task_ended(&client);
}

/// Empties the buffer; it grows while reads fill it and shrinks when they leave most of it empty.
fn next_buffer(mut buffer: Vec<u8>, count: usize) -> Vec<u8> {
    let capacity = buffer.capacity();
    buffer.clear();
    if count == capacity && capacity < READ_LEN_MAX {
        return Vec::with_capacity(capacity * 4);
    }
    if count < capacity / 16 && capacity > READ_LEN_MIN {
        return Vec::with_capacity(READ_LEN_MIN);
    }
    buffer
}

async fn write(mut writer: impl StreamWriter, client: Rc<Client>, connections: Connections) {
    let mut buffer = Vec::new();
    loop {
        client.writable.until(|| client.is_closed() || has_work(&client)).await;
        if client.is_closed() {
            break;
        }
        if client.connection.borrow().is_finished() {
            writer.finish();
            client.connection.borrow_mut().linger(connections.now());
            break;
        }
        client.connection.borrow_mut().transmit(&mut buffer);
        buffer = write_all(&mut writer, buffer, &client, &connections).await;
        buffer.clear();
        if buffer.capacity() > OUTPUT_LEN_MAX {
            buffer = Vec::new();
        }
        connections.advance(&client);
    }
    connections.task_ended(&client);
}

fn has_work(client: &Client) -> bool {
    let connection = client.connection.borrow();
    connection.has_output() || connection.is_finished()
}

async fn write_all(
    writer: &mut impl StreamWriter,
    mut buffer: Vec<u8>,
    client: &Client,
    connections: &Connections,
) -> Vec<u8> {
    let mut from = 0;
    while from < buffer.len() && !client.is_closed() {
        let (result, back) = writer.write(buffer, from).await;
        buffer = back;
        match result {
            Ok(count) if count > 0 => {
                from += count;
                let now: Time = connections.now();
                client.connection.borrow_mut().written(count, now);
                connections.count(|metrics| metrics.bytes_sent.add(count as u64));
            }
            Ok(_) | Err(_) => client.close(),
        }
    }
    buffer
}

#[cfg(test)]
mod tests;

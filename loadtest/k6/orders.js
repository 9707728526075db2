// k6 script: orders at a constant arrival rate (open loop), with retries that keep their key.
// It is not run by this repository's checks, where there is no k6; it was written against the documentation of k6 v1.
//
//   k6 run -e TARGET=http://127.0.0.1:8080 -e TOKEN=… -e RATE=1000 -e SECONDS=30 loadtest/k6/orders.js
//
// The clock of an order starts when its iteration starts, which k6 does on schedule as long as it has virtual users
// left. `dropped_iterations` are orders that were due and never sent: the threshold refuses them, because a run that
// drops them hides the stall that made it drop them.

import http from 'k6/http';
import exec from 'k6/execution';
import { sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';

const target = __ENV.TARGET || 'http://127.0.0.1:8080';
const rate = Number(__ENV.RATE || 1000);
const customers = Number(__ENV.CUSTOMERS || 10000);
const skus = Number(__ENV.SKUS || 1000);
const prefix = __ENV.KEY_PREFIX || `k6-${Date.now()}`;
const ATTEMPTS_MAX = 8;

const acknowledged = new Counter('orders_acknowledged');
const failed = new Counter('orders_failed');
const retried = new Counter('orders_retried');
// With all attempts of the order, from its first send.
const latency = new Trend('order_latency', true);

export const options = {
  scenarios: {
    orders: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration: `${__ENV.SECONDS || 30}s`,
      preAllocatedVUs: Math.max(50, Math.ceil(rate / 20)),
      maxVUs: Math.max(200, rate),
    },
  },
  thresholds: {
    orders_failed: ['count==0'],
    dropped_iterations: ['count==0'],
    order_latency: ['p(99)<250', 'p(99.9)<1000'],
  },
};

// `setup` runs once: all virtual users share its prefix, which differs from run to run.
export function setup() {
  return { prefix };
}

const draw = (bound) => Math.floor(Math.random() * bound);

export default function (run) {
  const body = JSON.stringify({
    customer: `c-${draw(customers)}`,
    items: [{ sku: `sku-${draw(skus)}`, quantity: 1 + draw(3) }],
    payment: { token: 'tok_ok' },
  });
  const params = {
    headers: {
      'Content-Type': 'application/json',
      'Idempotency-Key': `${run.prefix}-${exec.scenario.iterationInTest}`,
    },
    tags: { name: 'POST /v1/orders' },
  };
  if (__ENV.TOKEN) params.headers.Authorization = `Bearer ${__ENV.TOKEN}`;

  const start = Date.now();
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    const answer = http.post(`${target}/v1/orders`, body, params);
    if (answer.status === 202 || answer.status === 201) {
      acknowledged.add(1);
      latency.add(Date.now() - start);
      return;
    }
    // No answer (0) means unknown, 409 in progress; only the same key with the same body may be sent again.
    const inProgress = answer.status === 409 && String(answer.body).includes('idempotency-key-in-progress');
    const mayPass = inProgress || [0, 408, 429, 500, 502, 503, 504].includes(answer.status);
    if (!mayPass || attempt === ATTEMPTS_MAX) {
      failed.add(1, { status: String(answer.status) });
      return;
    }
    retried.add(1);
    sleep(Number(answer.headers['Retry-After']) || 0.05 * attempt);
  }
}

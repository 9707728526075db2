-- wrk script: POST /v1/orders, each with a key of its own.
--   TOKEN=$(orderlane token --data DIR --subject load --scope 'orders:write') \
--   wrk -t1 -c16 -d10s --latency -s loadtest/wrk/orders.lua http://127.0.0.1:8080
-- wrk is a closed loop: it sends the next request when the answer came, so it hides stalls (its latency counts from the
-- send, not from the time at which the order was due). It finds a ceiling; for latency use `orderlane loadtest --rate N`.
-- Environment: TOKEN, CUSTOMERS (10000), SKUS (1000), KEY_PREFIX (wrk-<time>).

local token = os.getenv("TOKEN")
local customers = tonumber(os.getenv("CUSTOMERS") or "10000")
local skus = tonumber(os.getenv("SKUS") or "1000")
local prefix = os.getenv("KEY_PREFIX") or ("wrk-" .. os.time())

local threads = 0
local counters = {}

function setup(thread)
  thread:set("thread_number", threads)
  threads = threads + 1
  table.insert(counters, thread)
end

function init(args)
  sequence = 0
  accepted, overloaded, refused = 0, 0, 0
  math.randomseed(os.time() + thread_number)
  headers = { ["Content-Type"] = "application/json" }
  if token then headers["Authorization"] = "Bearer " .. token end
end

function request()
  sequence = sequence + 1
  headers["Idempotency-Key"] = prefix .. "-" .. thread_number .. "-" .. sequence
  local body = string.format(
    '{"customer":"c-%d","items":[{"sku":"sku-%d","quantity":%d}],"payment":{"token":"tok_ok"}}',
    math.random(0, customers - 1), math.random(0, skus - 1), math.random(1, 3))
  return wrk.format("POST", "/v1/orders", headers, body)
end

function response(status, _, _)
  if status == 202 or status == 201 then
    accepted = accepted + 1
  elseif status == 503 or status == 429 then
    overloaded = overloaded + 1
  else
    refused = refused + 1
  end
end

-- wrk counts every answer as a request done; a refused order is not an order.
function done(summary, _, _)
  local totals = { accepted = 0, overloaded = 0, refused = 0 }
  for _, thread in ipairs(counters) do
    for name, _ in pairs(totals) do totals[name] = totals[name] + thread:get(name) end
  end
  local seconds = summary.duration / 1e6
  io.write(string.format("closed loop: %d orders acknowledged (%.0f/s), %d overloaded, %d refused\n",
    totals.accepted, totals.accepted / seconds, totals.overloaded, totals.refused))
end

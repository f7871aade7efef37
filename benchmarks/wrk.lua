-- What wrk sends, and how it tells the result. Everything comes through the environment, so that the token
-- stands in no command line. NAME in the body becomes a name that is never used twice.

local body = os.getenv("BENCH_BODY") or ""
local token = os.getenv("BENCH_TOKEN") or ""

wrk.method = os.getenv("BENCH_METHOD")
wrk.path = os.getenv("BENCH_PATH")
if body ~= "" then
  wrk.body = body
  wrk.headers["Content-Type"] = "application/json"
end
if token ~= "" then wrk.headers["Authorization"] = "Bearer " .. token end
if os.getenv("BENCH_GZIP") == "1" then wrk.headers["Accept-Encoding"] = "gzip" end
if os.getenv("BENCH_CLOSE") == "1" then wrk.headers["Connection"] = "close" end

local before, after = body:match("^(.-)@NAME@(.*)$")

-- Without a function of this name wrk sends the same bytes each time, which costs it least.
if before then
  local prefix = os.getenv("BENCH_PREFIX")
  local serial = 0
  function request()
    serial = serial + 1
    return wrk.format(nil, nil, nil, before .. prefix .. "-" .. serial .. after)
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%.6f,"bytes":%d,"refused":%d,"broken":%d,"p50_ms":%.3f,"p99_ms":%.3f}\n',
    summary.requests, summary.duration / 1e6, summary.bytes, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end

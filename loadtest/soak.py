#!/usr/bin/env python3
"""Long runs of the real binary, on this machine, with nothing but Python's own library.

    cargo build --release
    loadtest/soak.py millions [--orders 10000000]     # CPU an order, memory and rate by the million; SIGKILL; restart; reads
    loadtest/soak.py disk     [--bytes 1GiB]          # a full disk sheds and comes back (loop mount as root, else --data-max)
    loadtest/soak.py kills    [--kills 50]            # SIGKILL while it archives and checkpoints: `orderlane demo --archive-run`

Each makes a directory of its own below --work, removes it at the end, and ends within --minutes. --json FILE is the report.
Exit 0 only if every check holds.
"""
import argparse, http.client, json, os, random, re, shutil, signal, socket, subprocess, sys, tempfile, time

TICKS = os.sysconf("SC_CLK_TCK")
SKUS, CUSTOMERS = 1000, 100_000


class Server:
    """`orderlane serve` as a child."""

    def __init__(self, options, data, flags):
        self.options, self.data, self.flags, self.child = options, data, flags, None
        self.port = free_port()

    def start(self):
        """Starts it; gives the seconds until it was ready."""
        began = time.monotonic()
        self.banner_file = open(os.path.join(os.path.dirname(self.data), "banner"), "w+")
        log = open(os.path.join(os.path.dirname(self.data), "server.log"), "a")
        self.child = subprocess.Popen(
            [self.options.binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data", self.data, *self.flags],
            stdout=self.banner_file, stderr=log)
        while True:
            try:
                if self.get("/actuator/health/readiness", None)[0] == 200:
                    return time.monotonic() - began
            except OSError:
                pass
            self.options.in_time()
            if self.child.poll() is not None:
                sys.exit(f"the server ended with {self.child.returncode}; see {log.name}:\n" + tail(log.name))
            time.sleep(0.01)

    def banner(self):
        self.banner_file.seek(0)
        return self.banner_file.read()

    def kill(self):
        if self.child and self.child.poll() is None:
            self.child.kill()
            self.child.wait()

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        if self.child.wait(timeout=120) != 0:
            sys.exit("the server did not drain")

    def token(self):
        command = [self.options.binary, "token", "--data", self.data, "--subject", "soak", "--scope", "admin", "--ttl", "12h"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def request(self, method, path, token, body=None, fields=None, connection=None):
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        head = dict(fields or {})
        if token:
            head["Authorization"] = "Bearer " + token
        if body is not None:
            head.setdefault("Content-Type", "application/json")
        own.request(method, path, body, head)
        answer = own.getresponse()
        found = answer.status, answer.read(), answer.headers
        if connection is None:
            own.close()
        return found

    def get(self, path, token, connection=None):
        return self.request("GET", path, token, connection=connection)

    def cpu_seconds(self):
        fields = open(f"/proc/{self.child.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_bytes(self):
        return int(open(f"/proc/{self.child.pid}/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def figures(self):
        text = self.get("/actuator/prometheus", None)[1].decode()
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
        sums = {}
        for series, value in lines:
            name = series.split("{", 1)[0]
            sums[name] = sums.get(name, 0.0) + float(value)
        return sums


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def tail(path):
    return "".join(open(path).readlines()[-5:])


def catalogue(server, token):
    lines = "".join(json.dumps({"sku": f"sku-{n}", "name": "s", "unitPrice": 100, "currency": "EUR", "stock": 10**11}) + "\n"
                    for n in range(SKUS))
    status, body, _ = server.request("POST", "/v1/products:batch", token, lines, {"Content-Type": "application/x-ndjson"})
    assert status == 200 and body.count(b'"created"') == SKUS, body[:500]


def order(number):
    return {"customer": f"c-{number % CUSTOMERS}", "items": [{"sku": f"sku-{number % SKUS}", "quantity": 1},
            {"sku": f"sku-{number * 7 % SKUS}", "quantity": 2}], "payment": {"token": "tok_ok"}, "reference": f"r-{number}"}


def place_known(server, token, start, count):
    """Orders whose first answer is remembered: key, body, answer, id."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    known = []
    for number in range(start, start + count):
        body = json.dumps(order(number))
        status, answer, _ = server.request("POST", "/v1/orders", token, body, {"Idempotency-Key": f"known-{number}"}, connection)
        assert status == 202, (status, answer)
        known.append((f"known-{number}", body, answer, json.loads(answer)["id"]))
    return known


def load(server, token, seconds, seed, options):
    command = [options.binary, "loadtest", "--target", f"http://127.0.0.1:{server.port}", "--token", token, "--rate", "max",
               "--batch", "100", "--connections", "16", "--seconds", str(seconds), "--skus", str(SKUS), "--seed", str(seed)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    options.children.append(child)
    return child


def completed(figures):
    return figures.get("orders_total", 0.0)


def invariants(server, token):
    found = json.loads(server.get("/v1/invariants", token)[1])
    assert found["violations"] == 0, found
    return found


def settled(server, token, options):
    """The invariants once nothing happens any more."""
    ends = {"COMPLETED", "REJECTED", "PAYMENT_FAILED", "EXPIRED", "CANCELLED"}
    before, same = None, 0
    while same < 5:
        options.in_time()
        found = invariants(server, token)
        quiet = all(count == 0 for status, count in found["orders"].items() if status not in ends)
        same = same + 1 if quiet and found == before else 0
        before = found
        time.sleep(0.05)
    return before


def read_back(server, token, known, count, seed):
    """Random orders of `known`, each compared with what was sent; gives latencies in microseconds."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    chooser, micros = random.Random(seed), []
    for _ in range(count):
        _, body, first, name = chooser.choice(known)
        began = time.perf_counter()
        status, answer, _ = server.get("/v1/orders/" + name, token, connection)
        micros.append((time.perf_counter() - began) * 1e6)
        found, sent, placed = json.loads(answer), json.loads(body), json.loads(first)
        lines = [{"sku": line["sku"], "quantity": line["quantity"]} for line in found["items"]]
        right = status == 200 and found["status"] == "COMPLETED" and lines == sent["items"]
        assert right and all(found[key] == placed[key] for key in ("id", "customer", "reference", "createdAt")), found
    micros.sort()
    return {"reads": count, "p50Micros": round(micros[count // 2]), "p99Micros": round(micros[count * 99 // 100])}


def replay(server, token, known):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    for key, body, first, _ in known:
        status, answer, fields = server.request("POST", "/v1/orders", token, body, {"Idempotency-Key": key}, connection)
        assert (status, answer) == (202, first) and fields["Idempotency-Replayed"] == "true", (key, status, answer)


def millions(options, directory):
    server = Server(options, os.path.join(directory, "data"), options.flags)
    options.owned.append(server)
    server.start()
    token = server.token()
    catalogue(server, token)
    first_minute = place_known(server, token, 0, 2000)
    known, rows, seed = list(first_minute), [], 0
    print(f"{'orders':>12} {'CPU us/order':>13} {'RSS MiB':>8} {'orders/s':>9} {'archived':>10}")
    done, began, cpu = completed(server.figures()), time.monotonic(), server.cpu_seconds()
    target, generator = options.step, None
    while done < options.orders:
        options.in_time()
        if generator is None or generator.poll() is not None:
            seed += 1
            generator = load(server, token, 60, seed, options)
        time.sleep(0.25)
        figures = server.figures()
        now_done = completed(figures)
        if now_done >= target or now_done >= options.orders:
            now, now_cpu = time.monotonic(), server.cpu_seconds()
            row = {"orders": int(now_done), "cpuMicrosPerOrder": (now_cpu - cpu) / (now_done - done) * 1e6,
                   "rssBytes": server.rss_bytes(), "perSecond": (now_done - done) / (now - began),
                   "archived": int(figures.get("archive_orders", 0))}
            rows.append(row)
            print(f"{row['orders']:>12} {row['cpuMicrosPerOrder']:>13.2f} {row['rssBytes'] >> 20:>8} {row['perSecond']:>9.0f} {row['archived']:>10}", flush=True)
            # Outside the measured stretch, while the load holds its breath: known orders from all over the run.
            generator.send_signal(signal.SIGSTOP)
            known += place_known(server, token, len(known), 800)
            generator.send_signal(signal.SIGCONT)
            done, began, cpu = completed(server.figures()), time.monotonic(), server.cpu_seconds()
            target += options.step
    server.kill()  # the load goes on
    generator.kill()
    generator.wait()
    restart = server.start()
    events = re.search(r"(\d+) events recovered(?: in ([\d.]+) s)?", server.banner())
    count, took = int(events.group(1)), events.group(2)
    before = settled(server, token, options)
    hot = place_known(server, token, 10**9, 1000)
    before = settled(server, token, options)
    drop_caches()
    cold = read_back(server, token, known, 10_000, 1)
    warm = read_back(server, token, known[-1000:] + hot, 10_000, 2)
    replay(server, token, first_minute)
    before = settled(server, token, options)
    server.stop()
    verify = subprocess.run([options.binary, "journal", "verify", "--json", "--data", server.data], capture_output=True, text=True)
    offline = json.loads(verify.stdout) if verify.returncode == 0 else {}
    ratio = rows[-1]["cpuMicrosPerOrder"] / rows[0]["cpuMicrosPerOrder"]
    return {"rows": rows, "cpuLastOverFirst": ratio, "restartSeconds": restart, "tailEvents": count,
            "tailEventsPerSecond": count / float(took) if took and float(took) > 0 else None, "readsCold": cold, "readsWarm": warm,
            "checks": {"digests equal offline": offline.get("shards") == before["shards"],
                       "RSS <= 1 GiB": rows[-1]["rssBytes"] <= 1 << 30, "CPU last/first <= 1.15": ratio <= 1.15,
                       "ready in <= 3 s": restart <= 3.0}}


def drop_caches():
    """Cold reads need root; without it they are as warm as the page cache."""
    try:
        os.sync()
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("1")
    except OSError:
        print("the page cache stays warm: not root", file=sys.stderr)


def disk(options, directory):
    limit = parse_bytes(options.bytes)
    mount, flags = os.path.join(directory, "disk"), list(options.flags)
    os.mkdir(mount)
    mounted = options.loop and os.geteuid() == 0 and loop_mount(directory, mount, limit, options)
    if not mounted:
        flags += ["--data-max", str(limit)]
    server = Server(options, os.path.join(mount, "data"), flags)
    filler = os.path.join(mount, "filler")
    if mounted:  # a quarter of it is somebody else's, who will go
        with open(filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, limit // 4)
    options.owned.append(server)
    server.start()
    token = server.token()
    catalogue(server, token)
    known = place_known(server, token, 0, 1000)
    seed = fill(server, token, 0, options)
    status, answer, fields = place_one(server, token)
    shed = status == 503 and json.loads(answer)["code"] == "overloaded" and "Retry-After" in fields
    read_back(server, token, known, 1000, 1)
    comes_back = None
    if mounted:  # somebody makes room: nobody touches the server
        os.remove(filler)
        comes_back = taken_again(server, token)
        fill(server, token, seed, options)
    size = tree_bytes(server.data)
    server.kill()
    if not mounted:
        server.flags = [flag if flag != str(limit) else str(4 * limit) for flag in server.flags]
    server.start()
    taken = taken_again(server, token) if not mounted else None
    replay(server, token, known)
    found = settled(server, token, options)
    server.stop()
    return {"limitBytes": limit, "loopMount": bool(mounted), "dataBytesWhenShedding": size, "orders": sum(found["orders"].values()),
            "checks": {"503 overloaded with Retry-After": shed,
                       "orders are taken again": comes_back if mounted else taken,
                       "the limit holds": size <= limit * 1.05}}


def fill(server, token, seed, options):
    """Places orders until the disk is full."""
    while server.figures().get("disk_shedding", 0) == 0:
        options.in_time()
        seed += 1
        load(server, token, 5, seed, options).wait()
    return seed


def place_one(server, token):
    return server.request("POST", "/v1/orders", token, json.dumps(order(1)), {"Idempotency-Key": "shed"})


def taken_again(server, token):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if place_one(server, token)[0] == 202:
            return True
        time.sleep(0.2)
    return False


def loop_mount(directory, mount, limit, options):
    image = os.path.join(directory, "image")
    with open(image, "wb") as file:
        file.truncate(limit)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", image], capture_output=True).returncode == 0
    made = made and subprocess.run(["mount", "-o", "loop", image, mount], capture_output=True).returncode == 0
    if made:
        options.mounts.append(mount)
    return made


def tree_bytes(path):
    return sum(os.lstat(os.path.join(root, name)).st_blocks * 512 for root, _, names in os.walk(path) for name in names)


def parse_bytes(text):
    units = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "": 1}
    count, unit = re.fullmatch(r"(\d+)(KiB|MiB|GiB|)", text).groups()
    return int(count) * units[unit]


def kills(options, directory):
    report = os.path.join(directory, "demo.json")
    command = [options.binary, "demo", "--kills", str(options.kills), "--seconds", str(2 * options.kills), "--archive-run", "2000",
               "--archive-window", "20000", "--connections", "32", "--data", os.path.join(directory, "data"), "--json", report, *options.flags]
    ended = subprocess.run(command, timeout=options.left())
    found = json.load(open(report)) if os.path.exists(report) else {}
    zero = all(found.get(name) == 0 for name in ("lost", "duplicated", "violations"))
    return {"demo": found, "checks": {"demo ends with 0": ended.returncode == 0, "nothing lost, doubled or violated": zero}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["millions", "disk", "kills"])
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(root, "target"))
    parser.add_argument("--binary", default=os.path.join(target, "release", "orderlane"))
    parser.add_argument("--work", default=None, help="directory for the data [default: the system's temporary one]")
    parser.add_argument("--orders", type=int, default=10_000_000)
    parser.add_argument("--step", type=int, default=1_000_000)
    parser.add_argument("--bytes", default="1GiB")
    parser.add_argument("--no-loop", dest="loop", action="store_false", help="disk: --data-max even as root")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--json", default=None)
    parser.add_argument("flags", nargs="*", help="after --: further flags of serve")
    options = parser.parse_args()
    deadline = time.monotonic() + options.minutes * 60
    options.left = lambda: max(1.0, deadline - time.monotonic())
    options.in_time = lambda: time.monotonic() < deadline or sys.exit(f"not done within {options.minutes} minutes")
    options.owned, options.children, options.mounts = [], [], []
    directory = tempfile.mkdtemp(prefix="orderlane-soak-", dir=options.work)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        report = {"millions": millions, "disk": disk, "kills": kills}[options.what](options, directory)
    finally:
        for child in options.children:
            child.kill()
            child.wait()
        for server in options.owned:
            server.kill()
        for mount in options.mounts:
            subprocess.run(["umount", "-l", mount])
        shutil.rmtree(directory, ignore_errors=True)
    report = {"tool": f"soak {options.what}", "cores": os.cpu_count(), "kernel": os.uname().release, **report}
    text = json.dumps(report, indent=2)
    print(text)
    if options.json:
        open(options.json, "w").write(text + "\n")
    failed = [name for name, holds in report["checks"].items() if not holds]
    sys.exit("failed: " + ", ".join(failed) if failed else 0)


if __name__ == "__main__":
    main()

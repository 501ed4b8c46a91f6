// The pure parts of the live view, run by node itself on the module that the widget gets.
// KIT_VIEWS is that module with its functions exported; KIT_RECORDS a snapshot packed by codec.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

// what the module expects of a page, as far as the parts tested here touch it
globalThis.document = { createElement: () => new Element() };
globalThis.URL.createObjectURL ??= () => "blob:";
class Element {
  constructor() {
    this.children = [];
    this.attributes = {};
    this.listeners = {};
    this.dataset = {};
    this.style = {};
    this.classList = { add() {}, remove() {}, toggle: () => true, contains: () => false };
    this.own = "";
  }
  set textContent(text) {
    this.own = String(text);
    this.children = [];
  }
  get textContent() {
    return this.own + this.children.map((c) => (typeof c === "string" ? c : c.textContent)).join("");
  }
  append(...what) {
    this.children.push(...what);
  }
  replaceChildren(...what) {
    this.own = "";
    this.children = what;
  }
  setAttribute(name, value) {
    this.attributes[name] = value;
  }
  getAttribute(name) {
    return this.attributes[name] ?? null;
  }
  addEventListener(name, call) {
    this.listeners[name] = call;
  }
}

const kit = await import(process.env.KIT_VIEWS);
const records = JSON.parse(readFileSync(process.env.KIT_RECORDS, "utf-8"));

const T = 1_800_000_000;

/** A record as codec.py packs it. */
function row(index, values = {}) {
  const v = { state: kit.COMPLETED, flags: 0, version: 1, slot: 0, findings: 0, chunks: 0, submitted: T + index, wait: 100, execution: 500, end: 600, peak: NaN, handler: 0, session: 0, target: 0, attempt: 1, id: `job-${index}`, ...values };
  const data = new DataView(new ArrayBuffer(kit.ROW_BYTES));
  data.setUint32(0, index, true);
  data.setUint8(4, v.state);
  data.setUint8(5, v.flags);
  data.setUint16(6, v.version, true);
  data.setInt16(8, v.slot, true);
  data.setUint16(10, v.findings, true);
  data.setUint32(12, v.chunks, true);
  data.setFloat64(16, v.submitted, true);
  data.setFloat32(24, v.wait, true);
  data.setFloat32(28, v.execution, true);
  data.setFloat32(32, v.end, true);
  data.setFloat32(36, v.peak, true);
  data.setUint16(40, v.handler, true);
  data.setUint16(42, v.session, true);
  data.setUint8(44, v.target);
  data.setUint8(45, v.attempt);
  new TextEncoder().encodeInto(v.id, new Uint8Array(data.buffer, 46, 18));
  return data;
}

function jobsOf(...rows) {
  const jobs = new kit.JobColumns();
  rows.forEach((values, index) => jobs.read(row(index, values)));
  return jobs;
}

// -- records --------------------------------------------------------------------------------------

test("what codec.py packs is what the page reads", () => {
  const bytes = Buffer.from(records.rows, "base64");
  const jobs = new kit.JobColumns();
  const changed = jobs.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  assert.deepEqual(kit.STATES, records.states);
  assert.deepEqual(changed, records.jobs.map((job) => job.number));
  for (const job of records.jobs) {
    const i = job.number;
    assert.equal(kit.STATES[jobs.state[i]], job.state);
    for (const name of ["flags", "version", "slot", "findings", "chunks", "submitted", "handler", "session", "target", "attempt"]) {
      assert.equal(jobs[name][i], job[name], name);
    }
    assert.equal(jobs.id(i), job.id);
    assert.ok(Math.abs(jobs.started[i] - job.submitted - job.wait / 1000) < 1e-3 || job.wait === null);
    assert.equal(Number.isNaN(jobs.ended[i]), job.end === null);
    assert.ok(job.peak === null ? Number.isNaN(jobs.peak[i]) : Math.abs(jobs.peak[i] - job.peak) < 1e-3);
  }
  const samples = new kit.Samples();
  const packed = Buffer.from(records.samples, "base64");
  samples.read(new DataView(packed.buffer, packed.byteOffset, packed.byteLength));
  assert.deepEqual(samples.devices("vram"), [0, 1]);
  assert.equal(samples.line("vram", 1).total, 24 * 1024);
  assert.ok(Number.isNaN(samples.line("rss", -1).total));
  const ticks = Buffer.from(records.ticks, "base64");
  jobs.readTicks(new DataView(ticks.buffer, ticks.byteOffset, ticks.byteLength));
  assert.deepEqual(jobs.ticks.get(0), [10, 20.5]);
});

test("counts follow changes, and a lane is in order of start", () => {
  const jobs = jobsOf({ state: kit.RUNNING, end: NaN, execution: NaN }, { submitted: T + 5 }, { submitted: T + 3 });
  assert.deepEqual(jobs.laneList().map((lane) => lane.all()), [[0, 2, 1]]);
  assert.deepEqual([...jobs.live], [0]);
  jobs.read(row(0, { state: kit.FAILED }));
  assert.equal(jobs.counts[kit.FAILED], 1);
  assert.equal(jobs.counts[kit.RUNNING], 0);
  assert.equal(jobs.live.size, 0);
});

test("a retry leaves its old lane", () => {
  const jobs = jobsOf({ slot: 2 });
  jobs.read(row(0, { attempt: 2, state: kit.QUEUED, slot: -1, wait: NaN, end: NaN }));
  assert.deepEqual(jobs.laneList()[0].all(), []);
  assert.ok(jobs.waiting.has(0));
  jobs.read(row(0, { attempt: 2, slot: 1 }));
  assert.deepEqual(jobs.laneOf[0].all(), [0]);
  assert.equal(jobs.waiting.size, 0);
});

test("slots of two sessions are two lanes", () => {
  assert.equal(jobsOf({}, { session: 1 }).laneList().length, 2);
});

test("columns grow", () => {
  const jobs = new kit.JobColumns();
  for (let i = 0; i < 1000; i += 1) jobs.read(row(i, { id: `${i}` }));
  assert.equal(jobs.n, 1000);
  assert.equal(jobs.id(999), "999");
  assert.equal(jobs.submitted[0], T);
});

test("samples stay bounded and keep their peak", () => {
  const samples = new kit.Samples();
  const data = new DataView(new ArrayBuffer(kit.SAMPLE_BYTES));
  data.setUint8(8, 3);
  data.setInt8(9, -1);
  for (let k = 0; k < 200_000; k += 1) {
    data.setFloat64(0, T + k, true);
    data.setFloat32(12, k === 777 ? 9999 : k % 100, true);
    samples.read(data);
  }
  const line = samples.line("rss", -1);
  assert.ok(line.n <= 65536);
  assert.equal(Math.max(...line.used.subarray(0, line.n)), 9999);
  assert.equal(line.time[line.n - 1], T + 199_999);
});

test("each place has memory rows of its own, named where that is not plain", () => {
  const samples = new kit.Samples();
  const put = (place, kind, device, used, total = NaN) => {
    const data = new DataView(new ArrayBuffer(kit.SAMPLE_BYTES));
    data.setFloat64(0, T, true);
    data.setUint8(8, kind);
    data.setInt8(9, device);
    data.setUint8(10, place);
    data.setFloat32(12, used, true);
    data.setFloat32(16, total, true);
    samples.read(data);
  };
  const busy = [{ from: T, to: T + 1 }];
  const rows = (targets) => kit.memoryRows(samples, { targets, places: ["local", "pod:there", "process"] }, "why", busy);
  put(0, 3, -1, 300);
  assert.deepEqual(rows(["local"]).map((row) => [row.label, row.reason]), [["RSS", "why"]]);
  put(1, 3, -1, 900);
  put(1, 0, 0, 5000, 24576);
  put(2, 3, -1, 700);
  const all = rows(["local", "pod:there", "process"]);
  assert.deepEqual(all.map((row) => row.label), ["RSS, this kernel", "GPU 0, pod:there", "RSS, worker processes"]);
  assert.deepEqual(all.map((row) => row.lines[0].line.used[0]), [300, 5000, 700]);
  assert.deepEqual(all.map((row) => row.reason), ["why", "", ""]);
  // jobs of this view never ran on the pod: another handler's did
  assert.deepEqual(rows(["local"]).map((row) => row.label), ["RSS"]);
  assert.deepEqual(kit.memoryAt(all, T + 0.1), ["RSS, this kernel: 300 MiB", "GPU 0, pod:there: 4.9 GiB used", "RSS, worker processes: 700 MiB"]);
});

test("memory at an instant is a reading that is near", () => {
  const line = { n: 3, time: [T, T + 1, T + 10], used: [1, 2, 3] };
  assert.equal(kit.usedAt(line, T + 0.5), 1);
  assert.equal(kit.usedAt(line, T + 1), 2);
  assert.equal(kit.usedAt(line, T - 0.2), 1);
  for (const time of [T - 1, T + 5, T + 20]) assert.ok(Number.isNaN(kit.usedAt(line, time)), `${time - T}`);
  assert.ok(Number.isNaN(kit.usedAt(undefined, T)));
});

// -- the time axis --------------------------------------------------------------------------------

test("idle time is folded and comes back exactly", () => {
  const list = [{ from: T, to: T + 2 }, { from: T + 600, to: T + 604 }, { from: T + 605.5, to: T + 606 }];
  const axis = new kit.TimeAxis(list, 800, kit.fitView(list, 800));
  for (const time of [T - 0.1, T, T + 1.3, T + 2, T + 2.2, T + 300, T + 599.9, T + 600, T + 603, T + 604.7, T + 606, T + 606.1]) {
    assert.ok(Math.abs(axis.time(axis.x(time)) - time) < 1e-5, `${time - T}`);
  }
  assert.ok(axis.x(T) >= 0 && axis.x(T + 606) <= 800);
  // ten minutes of idling are narrower than the two seconds before them
  assert.ok(axis.x(T + 600) - axis.x(T + 2) < axis.x(T + 2) - axis.x(T));
});

test("order is kept for any times, at any zoom", () => {
  for (let round = 0; round < 300; round += 1) {
    const list = [];
    let at = T;
    for (let k = 0; k <= Math.random() * 12; k += 1) {
      const from = at + 1 + Math.random() ** 4 * 5000;
      at = from + Math.max(1e-4, Math.random() ** 3 * 60);
      list.push({ from, to: at });
    }
    const axis = new kit.TimeAxis(list, 300 + Math.random() * 900, kit.fitView(list, 600));
    for (let k = 0; k < 5; k += 1) axis.zoom(0.3 + Math.random() * 1.5, Math.random() * 600);
    let last = -Infinity;
    for (let k = 0; k <= 200; k += 1) {
      const x = axis.x(T + ((at - T + 20) * k) / 200);
      assert.ok(x >= last - 1e-6);
      last = x;
    }
  }
});

test("zoom keeps what is under the pointer, pan keeps the scale", () => {
  const list = [{ from: T, to: T + 2 }, { from: T + 600, to: T + 604 }];
  const axis = new kit.TimeAxis(list, 800, kit.fitView(list, 800));
  const under = axis.time(500);
  axis.zoom(0.5, 500);
  assert.ok(Math.abs(axis.x(under) - 500) < 1e-6);
  const scale = axis.scale;
  const x = axis.x(T + 601);
  axis.pan(40);
  assert.ok(Math.abs(axis.x(T + 601) - x - 40) < 1e-6);
  assert.equal(axis.scale, scale);
});

test("stretches join what is close and part what is far", () => {
  const jobs = jobsOf({ submitted: T }, { submitted: T + 1.2 }, { submitted: T + 100 }, { submitted: T + 50 });
  assert.deepEqual(kit.stretches(jobs, T + 200).map((s) => Math.round(s.from - T)), [0, 50, 100]);
  const running = jobsOf({ submitted: T }, { submitted: T + 5, state: kit.RUNNING, end: NaN, execution: NaN });
  assert.equal(kit.stretches(running, T + 30).at(-1).to, T + 30);
});

test("following shows the last stretches and not hours of history", () => {
  const list = [];
  for (let k = 0; k < 50; k += 1) list.push({ from: T + k * 60, to: T + k * 60 + 2 });
  const view = kit.liveView(list, 800, false);
  const axis = new kit.TimeAxis(list, 800, view);
  assert.ok(axis.x(list[49].to) > 700 && axis.x(list[49].to) < 800);
  assert.ok(axis.x(list[42].from) >= 0 && axis.x(list[42].from) < 60);
  const long = [{ from: T, to: T + 7200 }];
  assert.ok(new kit.TimeAxis(long, 800, kit.liveView(long, 800, true)).time(0) > T + 7000);
  // jobs of three seconds after a load of a minute have a good share of the width
  const loaded = [{ from: T, to: T + 60 }, { from: T + 65, to: T + 68 }];
  const after = new kit.TimeAxis(loaded, 800, kit.liveView(loaded, 800, false));
  assert.ok(after.time(0) > T + 48 && after.x(T + 68) - after.x(T + 65) > 150);
});

test("while a job runs the axis grows in steps", () => {
  const spans = new Set();
  for (let s = 1; s <= 60; s += 0.1) spans.add(kit.liveView([{ from: T, to: T + s }], 800, true).span.toFixed(6));
  assert.ok(spans.size < 20, `${spans.size}`);
});

test("marks do not touch", () => {
  const list = [{ from: T, to: T + 0.004 }, { from: T + 60, to: T + 63 }, { from: T + 300, to: T + 300.5 }];
  const measure = (text) => text.length * 6;
  for (const width of [200, 500, 1100]) {
    const axis = new kit.TimeAxis(list, width, kit.fitView(list, width));
    let end = -Infinity;
    for (const mark of kit.axisMarks(axis, measure).filter((m) => m.label)) {
      const from = mark.strong ? mark.x : mark.x - measure(mark.label) / 2;
      assert.ok(from > end, `${mark.label} at ${mark.x} of ${width}`);
      end = from + measure(mark.label);
    }
    assert.ok(end <= width + 1);
  }
});

// -- lanes ----------------------------------------------------------------------------------------

/** Bars of a lane in view: [{state, x0, x1, merged}]. */
function barsOf(jobs, lane, axis, now) {
  const bars = new kit.Bars();
  bars.gather(jobs, lane, axis, now);
  return Array.from({ length: bars.n }, (_, b) => ({ state: bars.state[b], x0: bars.x0[b], x1: bars.x1[b], merged: bars.merged[b], dots: bars.dots }));
}

test("narrow bars merge, wide ones do not, and a click finds its job", () => {
  const jobs = jobsOf(...Array.from({ length: 5000 }, (_, k) => ({ submitted: T + k * 0.01, wait: 0, end: 8, execution: 8 })));
  const lane = jobs.laneList()[0];
  const list = kit.stretches(jobs, T + 100);
  const all = new kit.TimeAxis(list, 800, kit.fitView(list, 800));
  const bars = barsOf(jobs, lane, all, T + 100);
  assert.ok(bars.length < 800, `${bars.length}`);
  const near = new kit.TimeAxis(list, 800, { from: T + 10, span: 0.1 });
  assert.ok(barsOf(jobs, lane, near, T + 100).length >= 10);
  assert.equal(kit.jobNear(jobs, lane, near, near.x(T + 10.034), T + 100), 1003);
  assert.equal(kit.jobNear(jobs, lane, near, near.x(T + 60), T + 100), -1);
});

test("a failed job or a finding among thousands is not swallowed", () => {
  for (const odd of [{ state: kit.FAILED }, { findings: 2 }]) {
    const jobs = jobsOf(...Array.from({ length: 20_000 }, (_, k) => ({ submitted: T + k * 0.001, wait: 0, end: 0.5, execution: 0.5, ...(k === 900 ? odd : {}) })));
    const list = kit.stretches(jobs, T + 9);
    const axis = new kit.TimeAxis(list, 600, kit.fitView(list, 600));
    const bars = barsOf(jobs, jobs.laneList()[0], axis, T + 9);
    assert.ok(odd.state ? bars.some((bar) => bar.state === kit.FAILED) : bars[0].dots === 1);
    // it is seen also when it comes later, over a job that was drawn before
    jobs.read(row(15_000, { submitted: T + 15, wait: 0, end: 0.5, execution: 0.5, ...odd }));
    const again = barsOf(jobs, jobs.laneList()[0], axis, T + 9);
    assert.equal(odd.state ? again.filter((bar) => bar.state === kit.FAILED).length : again[0].dots, 2);
  }
});

test("what is passed over by halving is what each job alone would have drawn", () => {
  for (let round = 0; round < 30; round += 1) {
    let at = T;
    const rows = Array.from({ length: 3000 }, () => {
      const took = Math.random() ** 6 * 200;
      at += Math.random() ** 8 * 2;
      const submitted = at;
      at += took / 1000;
      return { submitted, wait: 0, end: took, execution: took, findings: Math.random() < 0.002 ? 1 : 0, state: Math.random() < 0.003 ? kit.FAILED : kit.COMPLETED };
    });
    const jobs = jobsOf(...rows);
    const lane = jobs.laneList()[0];
    const list = kit.stretches(jobs, at);
    const axis = new kit.TimeAxis(list, 700, kit.fitView(list, 700));
    const filled = new Map();
    for (const bar of barsOf(jobs, lane, axis, at)) {
      for (let x = Math.floor(bar.x0); x < bar.x1; x += 1) filled.set(`${bar.state} ${x}`, true);
    }
    for (let i = 0; i < jobs.n; i += 1) {
      const middle = Math.floor((axis.x(jobs.started[i]) + axis.x(jobs.ended[i])) / 2);
      const seen = [middle - 1, middle, middle + 1].some((x) => filled.has(`${jobs.state[i]} ${x}`));
      assert.ok(seen, `job ${i} of round ${round} at ${middle}`);
    }
  }
});

test("a lane stays in order whatever comes, and finds each of its jobs", () => {
  for (let round = 0; round < 20; round += 1) {
    const jobs = jobsOf(...Array.from({ length: 400 }, () => ({ submitted: T + Math.floor(Math.random() * 50) })));
    const lane = jobs.laneList()[0];
    for (const i of [7, 100, 399]) {
      jobs.read(row(i, { submitted: T + 30, attempt: 2, slot: -1, state: kit.QUEUED, wait: NaN, end: NaN, execution: NaN }));
      jobs.read(row(i, { submitted: T + 30, attempt: 2 }));
    }
    const order = lane.all();
    assert.deepEqual([...order].sort((a, b) => a - b), Array.from({ length: 400 }, (_, k) => k));
    for (let k = 1; k < order.length; k += 1) assert.ok(jobs.started[order[k - 1]] <= jobs.started[order[k]]);
    for (const i of order) assert.equal(order[lane.position(jobs, i)], i);
    for (const k of [0, 17, 250]) assert.equal(lane.after(jobs, jobs.started[order[k]] - 1e-6), order.findIndex((i) => jobs.started[i] === jobs.started[order[k]]));
  }
});

test("busy times are the union of all jobs, in any order", () => {
  for (let round = 0; round < 200; round += 1) {
    const busy = new kit.BusyTimes();
    const spans = Array.from({ length: 30 }, () => {
      const from = T + Math.random() * 200;
      return [from, from + Math.random() ** 4 * 30];
    });
    for (const [from, to] of spans) busy.add(from, to);
    const want = [];
    for (const [from, to] of spans.sort((a, b) => a[0] - b[0])) {
      const last = want.at(-1);
      if (last && from - last.to <= kit.IDLE_FOLD_S) last.to = Math.max(last.to, to);
      else want.push({ from, to });
    }
    assert.deepEqual(busy.copy(), want);
  }
});

test("jobs beside each other are counted at an instant", () => {
  const jobs = jobsOf({ slot: 0 }, { slot: 1, submitted: T + 0.2 }, { slot: 2, submitted: T + 50 });
  assert.deepEqual(kit.runningAt(jobs, jobs.laneList(), T + 0.4, T + 99), [0, 1]);
});

// -- spans ----------------------------------------------------------------------------------------

test("spans stand beside each other, and a later word replaces an earlier one", () => {
  const spans = new kit.SpanList();
  spans.read([["a", "load", "load", T, null, "d"], ["b", "pod", "setup", T + 1, T + 3, ""], ["c", "later", "load", T + 4, T + 5, ""]]);
  assert.deepEqual(spans.all.map((s) => s.lane), [0, 1, 1]);
  assert.equal(spans.lanes, 2);
  assert.ok(spans.open);
  spans.read([["a", "load", "load", T, T + 2, "d"]]);
  assert.ok(!spans.open);
  assert.deepEqual(spans.all.map((s) => s.key), ["a", "b", "c"]);
  assert.deepEqual(spans.at(T + 1.5, T + 9).map((s) => s.key), ["a", "b"]);
});

test("a span is on the axis even without a job, and a cursor finds it", () => {
  const spans = new kit.SpanList();
  spans.read([["a", "load", "load", T - 50, T - 40, "d"]]);
  assert.deepEqual(kit.stretches(new kit.JobColumns(), T, spans), [{ from: T - 50, to: T - 40 }]);
  const jobs = jobsOf({}, { submitted: T + 30 });
  const list = kit.stretches(jobs, T + 100, spans);
  assert.deepEqual(list.map((s) => s.from - T), [-50, 0, 30]);
  const axis = new kit.TimeAxis(list, 800, kit.fitView(list, 800));
  assert.equal(spans.near(0, axis, axis.x(T - 45), T).key, "a");
  assert.equal(spans.near(1, axis, axis.x(T - 45), T), null);
  assert.equal(spans.near(0, axis, axis.x(T + 30), T), null);
});

// -- numbers --------------------------------------------------------------------------------------

test("durations, memory and sizes read alike in Python and here", () => {
  for (const [ms, text] of records.durations) assert.equal(kit.duration(ms ?? NaN), text);
  for (const [mib, text] of records.memory) assert.equal(kit.memory(mib ?? NaN), text);
  for (const [n, text] of records.sizes) assert.equal(kit.bytes(n), text);
});

test("percentiles are those of the static picture", () => {
  const jobs = jobsOf(...records.times.map((ms) => ({ execution: ms })), { state: kit.FAILED, execution: 1e6 });
  const { p50, p95 } = kit.figures(jobs);
  assert.equal(p50, records.p50);
  assert.equal(p95, records.p95);
});

test("device memory is the peak that counts, not RSS", () => {
  const jobs = jobsOf({ peak: 9000, flags: 0 }, { peak: 500, flags: kit.FLAG.vram }, { peak: 400, flags: kit.FLAG.vram });
  assert.deepEqual([kit.figures(jobs).peak, kit.figures(jobs).vram], [500, true]);
});

test("progress is a share only where it says one", () => {
  const shares = [0.4, "40 %", { progress: 40 }, { progress: 0.4 }, { percent: 40 }, { step: 4, total: 10 }];
  for (const value of shares) assert.ok(Math.abs(kit.fraction(value) - 0.4) < 1e-9, JSON.stringify(value));
  for (const value of [40, "loading", null, [1], {}, -1, { step: 4 }, true, { progress: "soon" }]) assert.equal(kit.fraction(value), null);
});

test("progress reads alike in Python and here", () => {
  for (const [value, share] of records.shares) {
    const here = kit.fraction(value);
    assert.ok(here === share || Math.abs(here - share) < 1e-9, JSON.stringify([value, share, here]));
  }
});

test("a memory axis has few round marks", () => {
  for (const [low, high] of [[0, 24576], [0, 81920], [300, 316], [0, 300], [60.2, 76.9], [1000, 1001.5]]) {
    const marks = kit.memoryMarks(low, high);
    assert.ok(marks.length >= 2 && marks.length <= 6, `${low}..${high}: ${marks}`);
    assert.ok(marks.every((m) => m >= low - 1e-6 && m <= high * 1.001));
  }
});

// -- payloads -------------------------------------------------------------------------------------

test("a tree shows everything a preview can hold", () => {
  const node = {
    t: "object", n: 7, k: ["a", "big", "text", "image", "list", { t: "string", n: 900, head: "k", tail: "y" }, "none"],
    v: [1.5, { t: "number", text: "9007199254740993" }, { t: "string", n: 25_000_000, head: "he", tail: "il" },
      { t: "media", at: [3], mime: "image/png", bytes: 402_000, width: 512, height: 512, duration_s: null, n: 9, hidden: null },
      { t: "array", n: 1_000_000, v: [true, false] }, "x", null],
  };
  const text = kit.treeElement(node, () => {}).textContent;
  for (const part of ["1.5", "9007199254740993", "24,999,996 of 25,000,000 characters", "PNG 512 x 512, 402 kB", "[1,000,000]", "k…y", "null"]) {
    assert.ok(text.includes(part), part);
  }
  assert.deepEqual(kit.mediaIn(node).map(({ key }) => key), ["image"]);
});

test("a payload that is not JSON is text", () => {
  assert.equal(kit.treeElement({ t: "text", n: 5, head: "{oops", tail: "" }).textContent, "{oops");
});

test("tokens are read in the shapes that model servers stream", () => {
  const told = [
    ['"plain"', "plain"],
    ['{"choices":[{"delta":{"content":"openai"}}]}', "openai"],
    ['{"choices":[{"delta":{"role":"assistant"}}]}', ""],
    ['{"choices":[{"text":"completion"}]}', "completion"],
    ['{"choices":[{"tokens":["v","l","lm"]}],"usage":{"input":5}}', "vllm"],
    ['"data: {\\"choices\\":[{\\"delta\\":{\\"content\\":\\"event\\"}}]}\\n\\n"', "event"],
    ['"data: [DONE]\\n\\n"', ""],
    ['{"type":"content_block_delta","delta":{"type":"text_delta","text":"anthropic"}}', "anthropic"],
    ['{"token":{"id":3,"text":"tgi"}}', "tgi"],
    ['{"type":"response.output_text.delta","delta":"responses"}', "responses"],
    ['["a","b"]', "ab"],
    ['{"step":3,"of":9}', null],
    ["17", null],
    ["{broken", null],
  ];
  for (const [json, text] of told) assert.equal(kit.chunkToken(json), text, json);
  assert.equal(kit.wholeStream('["a",{"choices":[{"delta":{"content":"b"}}]},{"x":1}]'), "ab");
});

test("a line of numbers stays in its box", () => {
  for (const points of [[1, 2, 3], [5], [1, null, 3], [[0, 2], [1, 1], null], [7, 7, 7]]) {
    const flat = points.flat().filter((p) => p !== null);
    const polygon = kit.linePolygon(points, Math.min(...flat), Math.max(...flat));
    assert.ok(polygon.length >= 4 && polygon.every(([x, y]) => x >= 0 && x <= 1 && y >= -0.05 && y <= 1.05), JSON.stringify(points));
  }
  assert.deepEqual([0.012345, 1536, -1.2345e-9, 12345.678, 0].map(kit.shortNumber), ["0.0123", "1,536", "-1.2e-9", "12300", "0"]);
});

test("objects that look alike are a table, others are not", () => {
  const object = (...k) => ({ t: "object", n: k.length, k, v: k.map(() => 1) });
  const array = (...v) => ({ t: "array", n: v.length, v });
  assert.deepEqual(kit.recordColumns(array(object("a", "b"), object("a", "c"))), ["a", "b", "c"]);
  for (const no of [array(object("a")), array(object("a"), 1), array(object("a"), object()), array(1, 2), object("a"), array(object("a"), object("b"), object("c"))]) {
    assert.equal(kit.recordColumns(no), null);
  }
});

test("only what may be asked for is an address, and never as a document", () => {
  for (const yes of ["https://example.com/a.png", "http://h/x?y=1"]) assert.ok(kit.isAddress(yes), yes);
  for (const no of ["javascript:alert(1)", "data:image/png;base64,x", "//h/x.png", "ftp://h/x", "see https://h/x", "https://h/a b", "https://", "file:///etc/passwd", "blob:https://h/1"]) {
    assert.ok(!kit.isAddress(no), no);
  }
  assert.deepEqual(kit.addressKinds("https://h/a.PNG?x=.mp3"), ["img"]);
  assert.deepEqual(kit.addressKinds("https://h/a.svg"), []);
  assert.deepEqual(kit.addressKinds("https://h/a.html"), []);
  assert.deepEqual(kit.addressKinds("https://h/signed?x=1"), ["img", "audio", "video"]);
});

test("a copied value is whole or asked for", () => {
  const whole = { t: "object", n: 2, k: ["a", "b"], v: [1, { t: "array", n: 1, v: ["x"] }] };
  assert.equal(kit.wholeText(whole), '{"a":1,"b":["x"]}');
  assert.equal(kit.wholeText("text"), "text");
  assert.equal(kit.wholeText(null), "null");
  for (const cut of [{ t: "array", n: 2, v: [1] }, { t: "array", n: 2, start: 1, v: [1, 2] }, { t: "string", n: 9, head: "a", tail: "b" }, { t: "object", n: 2, k: ["a", "a"], v: [1, 2] }, { t: "object", n: 1, k: ["__proto__"], v: [1] }]) {
    assert.equal(kit.wholeText(cut), null, JSON.stringify(cut));
  }
});

test("paths are those of the findings, and what would turn text around is written out", () => {
  assert.deepEqual([3, "name", "a b", "1x", "\u202e"].map(kit.label), ["[3]", ".name", '["a b"]', '["1x"]', '["\u202e"]']);
  assert.equal(kit.visible("a\u202eb\u2066\ud800é😀"), "a\\u202eb\\u2066\\ud800é😀");
  assert.equal(kit.fileName("../im age/1", "image", "png"), "im_age_1.png");
  assert.equal(kit.fileName("é", "image", "png"), "image.png");
});

test("a question is answered once, and given up when another job is looked at", async () => {
  const { board, sent, hear } = boardWith();
  hear({ t: "job", g: 3, i: 0, final: true, state: "COMPLETED", logs: [], stream: { n: 0, live: [] }, findings: [] });
  const one = kit.ask(board, { t: "slice", what: "output" });
  const two = kit.ask(board, { t: "slice", what: "output" });
  const [first, second] = sent.slice(-2).map((content) => content.name);
  assert.notEqual(first, second);
  hear({ t: "part", g: 3, i: 0, name: second, n: 2 });
  assert.equal((await two).n, 2);
  assert.equal(board.parts.size, 0);
  board.wanted = 7;
  board.changed("detail");
  assert.equal(await one, null);
});

// -- the board ------------------------------------------------------------------------------------

function boardWith({ asks = true } = {}) {
  const sent = [];
  const board = new kit.Board((content) => sent.push(content));
  if (asks) board.hello();
  sent.length = 0;
  const hear = (content, buffers = []) => board.receive(content, buffers);
  const rows = row(0, { state: kit.RUNNING, end: NaN, execution: NaN });
  hear({ t: "snapshot", g: 3, now: T, all: false, older: 0, n: [kit.ROW_BYTES, 0, 0], names: { handlers: ["h"], sessions: ["s"], targets: ["local"] } }, [rows]);
  return { board, sent, hear };
}

test("the latest job is looked at until another is chosen", async () => {
  const { board, sent, hear } = boardWith();
  assert.deepEqual(sent, [{ t: "job", i: 0, g: 3 }]);
  hear({ t: "delta", g: 3, now: T, n: [kit.ROW_BYTES, 0, 0] }, [row(1)]);
  // in a burst not with each of them
  assert.equal(sent.length, 1);
  assert.equal(board.shown(), 0);
  await new Promise((done) => setTimeout(done, 600));
  assert.deepEqual(sent.at(-1), { t: "job", i: 1, g: 3 });
  board.select(0);
  hear({ t: "delta", g: 3, now: T, n: [kit.ROW_BYTES, 0, 0] }, [row(2)]);
  assert.deepEqual(sent.at(-1), { t: "job", i: 0, g: 3 });
  assert.equal(board.shown(), 0);
});

test("a page to which all came by itself says that it is there, once", () => {
  const { board, sent, hear } = boardWith({ asks: false });
  assert.deepEqual(sent, [{ t: "job", i: 0, g: 3 }, { t: "hello", g: 3 }]);
  assert.equal(board.greeted, false);
  hear({ t: "greeting" });
  assert.equal(board.greeted, true);
  hear({ t: "snapshot", g: 4, now: T, all: false, older: 0, n: [0, 0, 0], names: { handlers: [], sessions: [], targets: [] } }, [row(0)]);
  assert.equal(sent.filter((content) => content.t === "hello").length, 1);
});

test("messages of another generation are not believed", () => {
  const { board, hear } = boardWith();
  hear({ t: "delta", g: 2, now: T, n: [kit.ROW_BYTES, 0, 0] }, [row(1)]);
  assert.equal(board.jobs.n, 1);
  hear({ t: "job", g: 2, i: 0, final: false });
  assert.equal(board.detail, null);
});

test("one press is one click until it is answered", () => {
  const { board, sent, hear } = boardWith();
  board.click("run");
  board.click("run");
  const clicks = sent.filter((m) => m.t === "run");
  assert.equal(clicks.length, 1);
  assert.ok(board.busy("run"));
  hear({ t: "ack", c: clicks[0].c, ok: true, s: null });
  assert.ok(!board.busy("run"));
  board.click("run");
  assert.notEqual(sent.at(-1).c, clicks[0].c);
});

test("a click without an answer says so after half a second, and takes it back", async () => {
  const { board, sent, hear } = boardWith();
  board.click("cancel", { i: null });
  await new Promise((done) => setTimeout(done, 600));
  assert.ok(board.slow);
  hear({ t: "ack", c: sent.at(-1).c, ok: true, s: null });
  assert.ok(!board.slow);
});

test("a refused click says why", () => {
  const { board, sent, hear } = boardWith();
  board.click("run");
  hear({ t: "ack", c: sent.at(-1).c, ok: false, s: "no input yet" });
  assert.deepEqual(board.outcome, { ok: false, text: "no input yet" });
});

test("export is busy until its outcome has come", () => {
  const { board, sent, hear } = boardWith();
  board.click("export");
  hear({ t: "ack", c: sent.at(-1).c, ok: true, s: null });
  assert.ok(board.busy("export"));
  hear({ t: "exported", ok: true, s: "handler v1 is in worker" });
  assert.ok(!board.busy("export"));
  assert.equal(board.outcome.text, "handler v1 is in worker");
});

test("a closed line is noticed and a word from the kernel revives it", () => {
  const board = new kit.Board(() => {
    throw new Error("comm is closed");
  });
  const heard = [];
  board.onChange((what) => heard.push(what));
  board.hello();
  assert.equal(board.alive, false);
  board.receive({ t: "head", head: { name: "h" }, note: null }, []);
  assert.equal(board.alive, true);
  assert.deepEqual(heard, ["alive", "alive", "head"]);
});

test("text of a running job is added, not asked for again", () => {
  const { board, sent, hear } = boardWith();
  hear({ t: "job", g: 3, i: 0, final: false, state: "IN_PROGRESS", logs: [], stream: { n: 1, head: ['"a"'], tail: [], left: 0, tree: null, live: [] }, progress: null, findings: [] });
  const before = sent.length;
  hear({ t: "live", g: 3, i: 0, chunks: ['"b"', '"c"'], logs: [["stdout", "x\n"]], missed: 4 });
  assert.equal(board.detail.stream.n, 7);
  assert.deepEqual(board.detail.stream.live, ['"b"', '"c"']);
  assert.equal(sent.length, before);
});

test("a snapshot of the same generation keeps what was chosen, a new one does not", () => {
  const { board, hear } = boardWith();
  board.select(0);
  const again = { t: "snapshot", now: T, all: false, older: 0, n: [kit.ROW_BYTES, 0, 0], names: board.names };
  hear({ ...again, g: 3 }, [row(0)]);
  assert.equal(board.selected, 0);
  hear({ ...again, g: 4 }, [row(0)]);
  assert.equal(board.selected, -1);
});

// -- the filter -----------------------------------------------------------------------------------

function filtered() {
  const { board, sent, hear } = boardWith();
  const rows = [row(0, { id: "Apple" }), row(1, { id: "pear", state: kit.FAILED, version: 2 }), row(2, { id: "apple-2", version: 2, target: 1, slot: 1 }), row(3, { id: "fig", handler: 1 })];
  const data = new DataView(new ArrayBuffer(rows.length * kit.ROW_BYTES));
  rows.forEach((one, k) => new Uint8Array(data.buffer).set(new Uint8Array(one.buffer), k * kit.ROW_BYTES));
  hear({ t: "snapshot", g: 4, now: T, all: false, older: 0, n: [data.byteLength, 0, 0], names: { handlers: ["h", "other"], sessions: ["s"], targets: ["local", "process"] } }, [data]);
  const shown = () => [0, 1, 2, 3].filter((i) => board.filter.has(i));
  return { board, sent, hear, shown };
}

test("each part of the filter leaves out what it says, and all together", () => {
  const { board, shown } = filtered();
  assert.deepEqual(shown(), [0, 1, 2, 3]);
  for (const [change, want] of [
    [{ states: new Set([kit.FAILED]) }, [1]], [{ version: 2 }, [1, 2]], [{ target: "process" }, [2]], [{ handler: "other" }, [3]],
    [{ text: "APPLE" }, [0, 2]], [{ text: "oth" }, [3]], [{ text: "proc" }, [2]], [{ text: "nothing" }, []], [{ version: 2, text: "apple" }, [2]],
    [{ handler: "gone" }, []],
  ]) {
    board.filter.clear();
    board.filter.set(change);
    assert.deepEqual(shown(), want, JSON.stringify(change));
    assert.equal(board.filter.shown, want.length);
  }
  board.filter.clear();
  assert.ok(!board.filter.active);
});

test("a filter holds for jobs that come and change, and over a new snapshot", () => {
  const { board, hear, shown } = filtered();
  board.filter.set({ states: new Set([kit.FAILED]), target: "local" });
  hear({ t: "delta", g: 4, now: T, n: [kit.ROW_BYTES, 0, 0] }, [row(0, { state: kit.FAILED })]);
  assert.deepEqual(shown(), [0, 1]);
  // the same jobs under other numbers: names count, not codes
  hear({ t: "snapshot", g: 5, now: T, all: true, older: 0, n: [kit.ROW_BYTES, 0, 0], names: { handlers: ["h"], sessions: ["s"], targets: ["process", "local"] } }, [row(0, { state: kit.FAILED, target: 1 })]);
  assert.equal(board.filter.shown, 1);
  assert.equal(board.filter.target, "local");
});

test("lanes hold what is shown, and the keys walk over it", () => {
  const { board } = filtered();
  board.filter.set({ states: new Set([kit.COMPLETED]) });
  const [first] = board.jobs.laneList();
  assert.deepEqual(board.filter.lane(first).all(), [0, 3]);
  assert.equal(kit.neighbour(board.jobs, board.filter.lane(first), 0, 1), 3);
  assert.equal(kit.neighbour(board.jobs, board.filter.lane(first), 1, 1), 3); // from one that is left out
  assert.equal(kit.neighbour(board.jobs, board.filter.lane(first), 1, -1), 0);
  assert.equal(kit.nearestInTime(board.jobs, board.filter.lane(first), T + 0.4), 0);
  assert.equal(kit.latestInLane(board.jobs, board.filter), 3);
});

test("what the kernel finds in payloads counts, once, and only for the text that stands there", async () => {
  const { board, sent, hear, shown } = filtered();
  board.filter.set({ text: "seed" });
  assert.deepEqual(shown(), []);
  assert.ok(board.filter.searching);
  await new Promise((done) => setTimeout(done, 400));
  assert.deepEqual(sent.filter((m) => m.t === "find"), [{ t: "find", q: "seed", g: 4 }]);
  hear({ t: "found", g: 4, q: "see", i: [3], more: false });
  assert.deepEqual(shown(), []);
  hear({ t: "found", g: 4, q: "seed", i: [2], more: true });
  assert.deepEqual(shown(), [2]);
  assert.ok(board.filter.more && !board.filter.searching);
});

test("progress of a running job is kept until it ends", () => {
  const { board, hear } = boardWith();
  hear({ t: "delta", g: 3, now: T, n: [0, 0, 0], p: [[0, 0.4], [9, 0.5]] }, [new DataView(new ArrayBuffer(0))]);
  assert.deepEqual([...board.jobs.progress], [[0, 0.4]]);
  hear({ t: "delta", g: 3, now: T, n: [kit.ROW_BYTES, 0, 0] }, [row(0)]);
  assert.equal(board.jobs.progress.size, 0);
});

test("lightness tells dark from light in both notations", () => {
  assert.ok(kit.lightness("rgb(255, 255, 255)") > 0.99);
  assert.ok(kit.lightness("color(srgb 0.07 0.07 0.07)") < 0.1);
});

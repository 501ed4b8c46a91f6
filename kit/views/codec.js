// The binary records of codec.py: jobs, memory samples and stream ticks, kept as typed arrays.
// All times here are seconds (UTC, as the kernel's clock says); NaN means "not yet" or "not known".

const STATES = ["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT", "LOST"];
const [QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED, TIMED_OUT, LOST] = [0, 1, 2, 3, 4, 5, 6];
const FLAG = { own: 1, exact: 2, vram: 4, cancelAsked: 8, stuck: 16 };
const ROW_BYTES = 64;
const SAMPLE_BYTES = 24;
const TICK_BYTES = 8;
const MAX_TICKS = 512; // as in table.py: at the limit every second one goes
const SAMPLE_KINDS = ["vram", "torch_allocated", "torch_reserved", "rss"];
const ID_BYTES = 18;

const FIELDS = {
  state: Uint8Array, flags: Uint8Array, version: Uint16Array, slot: Int16Array, findings: Uint16Array,
  chunks: Uint32Array, submitted: Float64Array, started: Float64Array, ended: Float64Array,
  execution: Float32Array, peak: Float32Array, handler: Uint16Array, session: Uint16Array,
  target: Uint8Array, attempt: Uint8Array,
};

const ID_TEXT = new TextDecoder();

/** Jobs as columns; `n` of them are filled. Lanes are kept sorted by start as jobs come. */
class JobColumns {
  constructor() {
    this.n = 0;
    this.room = 0;
    this.lanes = new Map(); // lane name -> LaneOrder
    this.ordered = []; // the same in order of session, then slot
    this.busy = new BusyTimes(); // when jobs that have ended waited or ran
    this.laneOf = []; // index -> lane, once the job has started
    this.ticks = new Map(); // index -> [ms after submitted]
    this.progress = new Map(); // index of a running job -> the share it says is done
    this.waiting = new Set(); // jobs that never reached a slot (yet)
    this.live = new Set();
    this.counts = new Array(STATES.length).fill(0);
    this.sorted = true; // whether submitted rises with the index
    this.revision = 0; // one more with each message read
    this.grow(256);
  }

  grow(room) {
    for (const [name, Type] of Object.entries(FIELDS)) {
      const bigger = new Type(room);
      if (this[name]) bigger.set(this[name]);
      this[name] = bigger;
    }
    const ids = new Uint8Array(room * ID_BYTES);
    if (this.ids) ids.set(this.ids);
    this.ids = ids;
    this.room = room;
  }

  /** Take records; returns the indexes that are new or changed. */
  read(data) {
    const changed = [];
    this.revision += 1;
    for (let at = 0; at + ROW_BYTES <= data.byteLength; at += ROW_BYTES) changed.push(this.readRow(data, at));
    return changed;
  }

  readRow(data, at) {
    const i = data.getUint32(at, true);
    while (i >= this.room) this.grow(this.room * 2);
    const fresh = i >= this.n;
    if (fresh) this.n = i + 1;
    else this.counts[this.state[i]] -= 1;
    const state = data.getUint8(at + 4);
    const attempt = data.getUint8(at + 45);
    if (!fresh && attempt !== this.attempt[i]) this.forget(i);
    const submitted = data.getFloat64(at + 16, true);
    if (fresh && i > 0 && submitted < this.submitted[i - 1]) this.sorted = false;
    this.state[i] = state;
    this.counts[state] += 1;
    this.flags[i] = data.getUint8(at + 5);
    this.version[i] = data.getUint16(at + 6, true);
    this.slot[i] = data.getInt16(at + 8, true);
    this.findings[i] = data.getUint16(at + 10, true);
    this.chunks[i] = data.getUint32(at + 12, true);
    this.submitted[i] = submitted;
    const started = submitted + data.getFloat32(at + 24, true) / 1000;
    if (!fresh && this.laneOf[i] && started !== this.started[i]) this.leave(i);
    this.started[i] = started;
    this.execution[i] = data.getFloat32(at + 28, true);
    this.ended[i] = submitted + data.getFloat32(at + 32, true) / 1000;
    this.peak[i] = data.getFloat32(at + 36, true);
    this.handler[i] = data.getUint16(at + 40, true);
    this.session[i] = data.getUint16(at + 42, true);
    this.target[i] = data.getUint8(at + 44);
    this.attempt[i] = attempt;
    const ids = this.ids;
    const end = (i + 1) * ID_BYTES;
    for (let k = i * ID_BYTES, from = at + 46; k < end; k += 1, from += 1) ids[k] = data.getUint8(from);
    this.place(i);
    return i;
  }

  place(i) {
    if (this.state[i] < COMPLETED) this.live.add(i);
    else {
      this.live.delete(i);
      this.progress.delete(i);
      this.busy?.addJob(this, i);
    }
    if (this.slot[i] < 0 || Number.isNaN(this.started[i])) {
      this.waiting.add(i);
      return;
    }
    this.waiting.delete(i);
    if (this.laneOf[i]) {
      this.laneOf[i].touch(this, i);
      return;
    }
    const name = this.session[i] * 65536 + this.slot[i];
    let lane = this.lanes.get(name);
    if (!lane) {
      lane = new LaneOrder(this.session[i], this.slot[i]);
      this.lanes.set(name, lane);
      this.ordered = [...this.lanes.values()].sort((a, b) => a.session - b.session || a.slot - b.slot);
    }
    lane.insert(this, i);
    this.laneOf[i] = lane;
  }

  /** A retry: the job leaves its lane and its ticks behind. */
  forget(i) {
    this.leave(i);
    this.ticks.delete(i);
    this.busy = null; // made anew: the time of the attempt before no longer counts
  }

  leave(i) {
    this.laneOf[i]?.remove(i);
    this.laneOf[i] = undefined;
  }

  /** Stretches in which jobs that have ended waited or ran. */
  busyTimes() {
    if (!this.busy) {
      this.busy = new BusyTimes();
      for (let i = 0; i < this.n; i += 1) if (this.state[i] >= COMPLETED) this.busy.addJob(this, i);
    }
    return this.busy;
  }

  readTicks(data) {
    for (let at = 0; at + TICK_BYTES <= data.byteLength; at += TICK_BYTES) {
      const i = data.getUint32(at, true);
      let list = this.ticks.get(i) ?? [];
      if (list.length >= MAX_TICKS) list = list.filter((_, k) => k % 2 === 0);
      list.push(data.getFloat32(at + 4, true));
      this.ticks.set(i, list);
    }
  }

  /** Take what running jobs said of their progress: [[index, share]]. */
  readProgress(list) {
    for (const [i, share] of list) if (this.live.has(i)) this.progress.set(i, share);
  }

  id(i) {
    const bytes = this.ids.subarray(i * ID_BYTES, (i + 1) * ID_BYTES);
    const end = bytes.indexOf(0);
    return ID_TEXT.decode(end < 0 ? bytes : bytes.subarray(0, end));
  }

  /** Where the bar of a job ends: its end, or now while it runs. */
  stop(i, now) {
    const end = this.ended[i];
    return Number.isNaN(end) ? now : end;
  }

  /** Lanes in order of session, then slot. */
  laneList() {
    return this.ordered;
  }

  /** Milliseconds in the handler, of a finished or a running job; NaN if it never started. */
  took(i, now) {
    if (!Number.isNaN(this.execution[i])) return this.execution[i];
    return this.state[i] === RUNNING ? Math.max(0, now - this.started[i]) * 1000 : NaN;
  }

  /** The job submitted last, -1 if there is none. */
  latest() {
    let best = this.n - 1;
    if (!this.sorted) for (let i = 0; i < this.n; i += 1) if (this.submitted[i] > this.submitted[best]) best = i;
    return best;
  }
}

/** Memory lines by place, kind and device, in order of time. */
class Samples {
  constructor() {
    this.lines = new Map(); // "0:vram:0" -> {place, kind, device, n, time, used, total}
    this.version = 0;
  }

  read(data) {
    if (data.byteLength) this.version += 1;
    for (let at = 0; at + SAMPLE_BYTES <= data.byteLength; at += SAMPLE_BYTES) {
      const kind = SAMPLE_KINDS[data.getUint8(at + 8)];
      const device = data.getInt8(at + 9);
      const place = data.getUint8(at + 10);
      const name = `${place}:${kind}:${device}`;
      let line = this.lines.get(name);
      if (!line) {
        line = { place, kind, device, n: 0, time: new Float64Array(512), used: new Float32Array(512), total: NaN };
        this.lines.set(name, line);
      }
      if (line.n === line.time.length) this.widen(line);
      line.time[line.n] = data.getFloat64(at, true);
      line.used[line.n] = data.getFloat32(at + 12, true);
      line.total = data.getFloat32(at + 16, true);
      line.n += 1;
    }
  }

  widen(line) {
    if (line.n >= 65536) {
      // a day of samples in one page: halve the older part, the larger of two neighbours stays
      const half = 32768;
      for (let k = 0; k < half; k += 2) {
        const keep = line.used[k] >= line.used[k + 1] ? k : k + 1;
        line.time[k / 2] = line.time[keep];
        line.used[k / 2] = line.used[keep];
      }
      line.time.copyWithin(half / 2, half);
      line.used.copyWithin(half / 2, half);
      line.n -= half / 2;
      return;
    }
    for (const column of ["time", "used"]) {
      const bigger = new line[column].constructor(line.n * 2);
      bigger.set(line[column]);
      line[column] = bigger;
    }
  }

  /** Devices of a place that have a line of this kind, in order. */
  devices(kind, place = 0) {
    const own = [...this.lines.values()].filter((l) => l.kind === kind && l.place === place);
    return own.map((l) => l.device).sort((a, b) => a - b);
  }

  line(kind, device, place = 0) {
    return this.lines.get(`${place}:${kind}:${device}`);
  }

  /** Whether any place has a line of this kind. */
  has(kind) {
    return [...this.lines.values()].some((l) => l.kind === kind);
  }
}

/** First position in a sorted column (up to n) whose value is greater than x. */
function upperBound(column, n, x) {
  let low = 0;
  let high = n;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (column[mid] > x) high = mid;
    else low = mid + 1;
  }
  return low;
}

/** The reading at or shortly before a time, else just after it (a job may begin between two); or NaN. */
function usedAt(line, time) {
  const next = line ? upperBound(line.time, line.n, time) : 0;
  if (next > 0 && time - line.time[next - 1] < 2) return line.used[next - 1];
  return line && next < line.n && line.time[next] - time < 0.3 ? line.used[next] : NaN;
}

// Jobs of one lane in order of their start, so that drawing finds what is in view by halving and
// passes over everything that falls into one column of pixels at once.

class LaneOrder {
  constructor(session, slot) {
    this.session = session;
    this.slot = slot;
    this.n = 0;
    this.list = new Int32Array(64);
    this.odd = new Int32Array(65); // odd[k]: how many before position k are not simply completed
    this.known = 0; // up to which position odd is right
  }

  /** First position whose job starts after a time. */
  after(jobs, time, from = 0) {
    const { list, n } = this;
    const { started } = jobs;
    // gallop: the answer is mostly near
    let low = from;
    let step = 4;
    while (low + step < n && started[list[low + step]] <= time) {
      low += step;
      step *= 2;
    }
    let high = Math.min(n, low + step);
    while (low < high) {
      const mid = (low + high) >> 1;
      if (started[list[mid]] > time) high = mid;
      else low = mid + 1;
    }
    return low;
  }

  /** First position whose bar ends at a time or later. Bars of a lane do not overlap. */
  ending(jobs, time, now) {
    let low = 0;
    let high = this.n;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (jobs.stop(this.list[mid], now) < time) low = mid + 1;
      else high = mid;
    }
    return low;
  }

  position(jobs, i) {
    let k = this.after(jobs, jobs.started[i]) - 1;
    while (k >= 0 && this.list[k] !== i && jobs.started[this.list[k]] === jobs.started[i]) k -= 1;
    return k >= 0 && this.list[k] === i ? k : this.list.subarray(0, this.n).indexOf(i);
  }

  insert(jobs, i) {
    if (this.n === this.list.length) {
      const list = new Int32Array(this.n * 2);
      list.set(this.list);
      this.list = list;
      const odd = new Int32Array(this.n * 2 + 1);
      odd.set(this.odd);
      this.odd = odd;
    }
    let k = this.n; // nearly always the end
    if (k > 0 && jobs.started[this.list[k - 1]] > jobs.started[i]) k = this.after(jobs, jobs.started[i]);
    this.list.copyWithin(k + 1, k, this.n);
    this.list[k] = i;
    this.n += 1;
    this.known = Math.min(this.known, k);
  }

  remove(i) {
    const k = this.list.subarray(0, this.n).indexOf(i);
    if (k < 0) return;
    this.list.copyWithin(k, k + 1, this.n);
    this.n -= 1;
    this.known = Math.min(this.known, k);
  }

  /** A job of this lane has another state now. */
  touch(jobs, i) {
    const k = this.position(jobs, i);
    if (k >= 0) this.known = Math.min(this.known, k);
  }

  /** Whether all jobs from one position up to another are completed, without a finding. */
  plain(jobs, from, to) {
    const { list, odd } = this;
    for (let k = this.known; k < to; k += 1) {
      const i = list[k];
      odd[k + 1] = odd[k] + (jobs.state[i] === COMPLETED && !jobs.findings[i] ? 0 : 1);
    }
    this.known = Math.max(this.known, to);
    return odd[from] === odd[to];
  }

  /** The jobs as a plain list, for tests and for those who need all of them. */
  all() {
    return [...this.list.subarray(0, this.n)];
  }
}

/** Times in which something waited or ran, as stretches in order; short pauses between them count too. */
class BusyTimes {
  constructor() {
    this.list = [];
    this.frozen = null;
  }

  /** The stretches of now, which later additions leave alone: an axis is made of them. */
  copy() {
    this.frozen ??= this.list.map(({ from, to }) => ({ from, to }));
    return this.frozen;
  }

  addJob(jobs, i) {
    const from = jobs.submitted[i];
    // a stretch of no length at all would have no place on the axis
    this.add(from, Math.max(from + 1e-4, jobs.ended[i] || 0));
  }

  /** Let the time from one moment to another count. */
  add(from, to) {
    const { list } = this;
    this.frozen = null;
    const last = list[list.length - 1];
    if (!last || from - last.to > IDLE_FOLD_S) {
      list.push({ from, to });
      return;
    }
    if (from >= last.from) {
      if (to > last.to) last.to = to;
      return;
    }
    // out of order: find the first stretch that reaches it, and join what it bridges
    let low = 0;
    let high = list.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (list[mid].to + IDLE_FOLD_S < from) low = mid + 1;
      else high = mid;
    }
    let end = low;
    let [first, final] = [from, to];
    while (end < list.length && list[end].from - IDLE_FOLD_S <= final) {
      first = Math.min(first, list[end].from);
      final = Math.max(final, list[end].to);
      end += 1;
    }
    list.splice(low, end - low, { from: first, to: final });
  }
}

// What one page knows of one card: jobs, memory, head, the job being looked at, clicks under way.
// Views draw from it; everything else comes and goes as custom messages. Nothing is a synced trait,
// so nothing of it is ever saved into the notebook.

const NO_ANSWER_MS = 500;
const BUSY_SENTENCE = "No answer yet. If a cell is running, the click takes effect when it ends; the notebook's Stop button works now.";
const LOOK_MS = 500; // in a burst of jobs the latest is looked at twice a second, not with each of them

class Board {
  constructor(send) {
    this.transmit = send;
    this.listeners = new Set();
    this.look = null; // filled by the first view, from its CSS
    this.alive = true;
    this.started = false;
    this.clicks = new Map(); // click id -> {what, timer}
    this.nextClick = 1;
    this.page = `${Date.now().toString(36)}-${Math.floor(Math.random() * 1e9).toString(36)}`;
    this.head = {};
    this.note = "";
    this.outcome = null; // of the last export: {ok, text}
    this.known = false; // to the kernel: has said hello
    this.greeted = false; // and need not for its first view
    this.slow = false; // a click has gone unanswered
    this.lookedAt = -LOOK_MS;
    this.filter = new Filter(this);
    this.reset();
  }

  reset() {
    this.jobs = new JobColumns();
    this.samples = new Samples();
    this.spans = new SpanList();
    this.names = { handlers: [], sessions: [], targets: [], places: ["local"] };
    this.generation = -1;
    this.offset = Date.now() / 1000 - performance.now() / 1000;
    this.all = false;
    this.older = 0;
    this.selected = -1; // chosen by the person
    this.held = -1; // in the pane when the person began to do something there: no newer one takes its place
    this.detail = null; // of the shown job, as far as it has come
    this.parts = new Map(); // "input", "wire", "output:0,3": what was asked for and came
    this.asked = new Set();
    this.wanted = -1; // index that the kernel was asked about, and the one in the pane
  }

  // -- reading ----------------------------------------------------------------------------------

  now() {
    return this.offset + performance.now() / 1000;
  }

  /** The job to look at: the one chosen or being looked into, else the latest of those shown; -1 if there is none. */
  target() {
    if (this.selected >= 0) return this.selected;
    return this.held >= 0 && this.filter.has(this.held) ? this.held : this.filter.latest();
  }

  /** Whether the pane goes on to each newer job. */
  get follows() {
    return this.selected < 0 && (this.held < 0 || this.held === this.filter.latest());
  }

  /** The job in the pane; -1 if there is none. */
  shown() {
    return this.wanted;
  }

  get panel() {
    return Boolean(this.head.panel);
  }

  /** Why memory is what it is, for the label of the memory chart. */
  get reason() {
    return this.head.reason ?? "";
  }

  /** Edits: versions after the first, of the handlers in this view. */
  get versions() {
    return this.head.versions ?? [];
  }

  onChange(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  changed(what) {
    for (const listener of this.listeners) listener(what);
  }

  // -- talking ----------------------------------------------------------------------------------

  send(content, buffers = []) {
    try {
      this.transmit({ ...content, g: this.generation }, buffers);
    } catch {
      this.lost(); // the comm is closed
    }
  }

  /** Ask for everything: at the first view, and when the kernel may have changed under us. */
  hello() {
    this.known = true;
    this.send({ t: "hello" });
  }

  lost() {
    if (!this.alive) return;
    this.alive = false;
    for (const click of this.clicks.values()) clearTimeout(click.timer);
    this.clicks.clear();
    this.changed("alive");
  }

  /** A button was pressed. It stays pressed until the kernel says that it has heard. */
  click(what, content = {}, pieces = []) {
    if (this.busy(what)) return;
    const c = `${this.page}-${this.nextClick}`;
    this.nextClick += 1;
    const timer = setTimeout(() => {
      this.slow = true;
      this.changed("clicks");
    }, NO_ANSWER_MS * (1 + pieces.length)); // a long input takes its time to get there
    this.clicks.set(c, { what, timer });
    if (what === "export") this.outcome = null;
    this.changed("clicks");
    for (const piece of pieces) this.send({ t: "piece", c }, [piece.buffer]);
    this.send({ t: what, c, ...content });
  }

  busy(what) {
    for (const click of this.clicks.values()) if (click.what === what) return true;
    return what === "export" && Boolean(this.exporting);
  }

  select(index) {
    if (index === this.selected && this.held < 0) return;
    this.selected = index;
    this.held = -1;
    this.look_at();
    this.changed("selection");
  }

  /** The person opens, loads, scrolls or types something of the job in the pane: it stays there. */
  hold() {
    if (this.selected < 0) this.held = this.wanted;
  }

  /** Have the kernel tell about the job to look at, if that is another one than before. */
  look_at() {
    const index = this.target();
    clearTimeout(this.lookTimer);
    if (index === this.wanted || index < 0) return;
    const since = performance.now() - this.lookedAt;
    if (this.selected < 0 && this.wanted >= 0 && since < LOOK_MS) {
      this.lookTimer = setTimeout(() => this.look_at(), LOOK_MS - since);
      return;
    }
    this.lookedAt = performance.now();
    this.wanted = index;
    this.detail = null;
    this.forgetParts();
    this.send({ t: "job", i: index });
    this.changed("detail");
  }

  forgetParts() {
    for (const part of this.parts.values()) if (part.url) URL.revokeObjectURL(part.url);
    this.parts.clear();
    this.asked.clear();
  }

  /** A part of the shown job; undefined until it has come. It is asked for once. */
  part(name, request) {
    const part = this.parts.get(name);
    if (!part && !this.asked.has(name) && this.detail) {
      this.asked.add(name);
      this.send({ ...request, name, i: this.wanted });
    }
    return part;
  }

  // -- hearing ----------------------------------------------------------------------------------

  receive(content, buffers) {
    const does = this[`on_${content.t}`];
    if (!does) return;
    if (!this.alive) {
      this.alive = true;
      this.changed("alive");
    }
    does.call(this, content, buffers ?? []);
  }

  on_snapshot(content, buffers) {
    const again = content.g === this.generation ? this.selected : -1;
    const { detail, wanted, held, parts, asked } = this;
    const same = content.g === this.generation;
    this.reset();
    this.generation = content.g;
    this.selected = again;
    this.all = content.all;
    this.older = content.older;
    this.started = true;
    if (same) Object.assign(this, { detail, wanted, held, parts, asked });
    this.take(content, buffers);
    if (this.filter.text) this.filter.ask(); // what was found has other indexes now
    this.filter.apply();
    this.changed("snapshot");
    if (same && this.wanted >= 0) this.send({ t: "job", i: this.wanted });
    this.look_at();
    if (!this.known) this.hello(); // it came by itself: say that somebody is here
  }

  on_delta(content, buffers) {
    if (content.g !== this.generation) return;
    const changed = this.take(content, buffers);
    const ended = changed.includes(this.wanted) && this.jobs.state[this.wanted] >= COMPLETED;
    const started = changed.includes(this.wanted) && this.detail && this.detail.state !== STATES[this.jobs.state[this.wanted]];
    if (ended || started) this.send({ t: "job", i: this.wanted });
    this.look_at();
    this.changed("delta");
  }

  take(content, buffers) {
    this.offset = content.now - performance.now() / 1000;
    if (content.names) this.names = content.names;
    if (content.spans) this.spans.read(content.spans);
    const [rows, samples, ticks] = content.n;
    const data = buffers[0];
    if (!data) return [];
    const view = (from, length) => new DataView(data.buffer, data.byteOffset + from, length);
    const changed = this.jobs.read(view(0, rows));
    if (content.p) this.jobs.readProgress(content.p);
    if (this.filter.active) this.filter.apply();
    this.samples.read(view(rows, samples));
    this.jobs.readTicks(view(rows + samples, ticks));
    return changed;
  }

  /** The kernel sends all there is by itself: nobody need ask for it. */
  on_greeting() {
    this.greeted = true;
  }

  on_head(content) {
    if (content.head.version !== this.head.version) this.held = -1; // another handler: what it does comes into sight
    this.head = content.head;
    this.note = content.note ?? "";
    this.changed("head");
  }

  on_job(content) {
    if (content.g !== this.generation || content.i !== this.wanted) return;
    if (this.detail && this.detail.attempt !== content.attempt) this.forgetParts();
    this.detail = content;
    this.changed("detail");
  }

  on_live(content) {
    const { detail } = this;
    if (content.g !== this.generation || content.i !== this.wanted || !detail || detail.final) return;
    detail.logs.push(...content.logs);
    if (content.progress !== undefined) detail.progress = content.progress;
    detail.stream.n += content.chunks.length + content.missed;
    detail.stream.missed = (detail.stream.missed ?? 0) + content.missed;
    for (const text of content.chunks) detail.stream.live.push(text);
    this.changed("live");
  }

  on_part(content, buffers) {
    if (content.g !== this.generation || content.i !== this.wanted) return;
    this.parts.set(content.name, { ...content, buffer: buffers[0] });
    this.changed("part");
  }

  on_found(content) {
    if (content.g === this.generation) this.filter.hear(content);
  }

  on_ack(content) {
    const click = this.clicks.get(content.c);
    if (!click) return;
    clearTimeout(click.timer);
    this.clicks.delete(content.c);
    this.slow = false;
    if (click.what === "run" && content.ok) this.select(-1);
    if (click.what === "export" && content.ok) this.exporting = true;
    if (!content.ok || content.s) this.outcome = { ok: content.ok, text: content.s };
    else if (click.what !== "cancel") this.outcome = null;
    this.changed("clicks");
  }

  on_exported(content) {
    this.exporting = false;
    this.outcome = { ok: content.ok, text: content.s };
    this.changed("clicks");
  }
}

// The timeline: lanes above, memory below, one time axis. Two canvases: the picture, redrawn when
// data or view change, and the cursor over it, redrawn when the pointer moves.

const LANE_NARROW_PX = 24;
const LANES_SHOWN = 12;
const CALM_MS = 500;

class Timeline {
  /**
   * @param board the page's data (board.js)
   * @param actions {select(index), open(), find()}
   */
  constructor(board, actions) {
    this.board = board;
    this.actions = actions;
    this.view = null;
    this.following = true; // live: the last stretches, whatever comes
    this.fitted = false; // everything, whatever comes; neither: the view that the hand left
    this.laneOffset = 0;
    this.led = -1; // the job whose lane was brought into sight
    this.cursor = null; // {x, y} in the plot, null outside
    this.hovered = -1;
    this.frame = 0;
    this.timer = 0;
    this.seen = true;
    this.wide = 0; // of the plot, in pixels
    this.free = 0; // height beside the job pane
    this.rows = { key: "", list: [] };
    this.build();
  }

  build() {
    this.element = make("div", "kit-time");
    this.plot = make("div", "kit-plot");
    this.plot.tabIndex = 0;
    this.plot.setAttribute("role", "application");
    this.plot.setAttribute("aria-label", "Timeline of jobs. Arrow keys move between jobs, enter opens one, f fits, l follows live, slash filters, plus and minus zoom, escape clears. The jobs follow as a table.");
    this.canvas = make("canvas", "kit-canvas");
    this.over = make("canvas", "kit-canvas kit-over");
    this.label = make("div", "kit-label");
    this.label.hidden = true;
    this.plot.append(this.canvas, this.over, this.label);
    this.fitButton = button("kit-tool", "Fit", () => this.fit());
    this.fitButton.title = "Show everything (f)";
    this.liveButton = button("kit-tool", "Live", () => this.follow(!this.following));
    this.liveButton.title = "Follow what runs now (l)";
    this.hint = make("span", "kit-hint");
    this.tools = make("div", "kit-tools");
    this.tools.append(this.hint, this.fitButton, this.liveButton);
    this.element.append(this.plot, this.tools);
    this.pointer = new Pointer(this);
    this.resize = new ResizeObserver(() => {
      this.wide = 0;
      this.draw();
    });
    this.resize.observe(this.element);
    this.sight = new IntersectionObserver((entries) => {
      this.seen = entries[entries.length - 1].isIntersecting;
      if (this.seen) this.draw();
    });
    this.sight.observe(this.plot);
  }

  /** The job pane beside the timeline: its height, with a body at its least, decides how high memory may be. */
  beside(pane, body) {
    this.pane = pane;
    this.paneBody = body;
    this.resize.observe(pane);
  }

  close() {
    this.resize.disconnect();
    this.sight.disconnect();
    this.pointer.close();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.closed = true;
  }

  /** Redraw with the next frame. */
  draw() {
    if (this.frame || this.closed) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  fit() {
    this.following = false;
    this.fitted = true;
    this.draw();
  }

  follow(on) {
    this.following = on;
    this.fitted = false;
    this.draw();
  }

  /** Keep the view that the axis has now, and stop following. */
  keepView() {
    this.following = false;
    this.fitted = false;
    this.view = this.axis.view();
    this.draw();
  }

  // -- layout -----------------------------------------------------------------------------------

  /** Read sizes from the page: once after each change, since reading makes the browser lay out. */
  readSizes() {
    if (this.wide) return;
    this.wide = this.plot.clientWidth;
    this.free = this.room();
  }

  /** Height there is beside the job pane without making the card taller; 0 if the pane is below. */
  room() {
    const { pane, paneBody: body } = this;
    if (!pane || body.hidden || pane.hidden || !pane.offsetParent || pane.offsetTop > this.element.offsetTop + 8) return 0;
    const least = parseFloat(getComputedStyle(body).minHeight) || 0; // the pane is that high in any case
    return body.offsetTop - pane.offsetTop + least + 12 - this.tools.offsetHeight - 4;
  }

  measure(list) {
    const { jobs, samples, spans, names, reason, versions } = this.board;
    const width = this.wide - GUTTER_PX - 8;
    const lanes = jobs.laneList();
    const lanePx = lanes.length > 6 ? LANE_NARROW_PX : LANE_PX;
    const shown = Math.min(lanes.length, LANES_SHOWN);
    this.leadTo(lanes, shown);
    const lanesTop = AXIS_PX + spans.lanes * SPAN_LANE_PX;
    const lanesEnd = lanesTop + shown * lanePx;
    const queueEnd = lanesEnd + (jobs.waiting.size ? QUEUE_LANE_PX : 0);
    const memoryTop = queueEnd + (versions.length ? EDIT_ROW_PX : 6);
    const key = `${samples.version} ${list.length} ${names.targets.length} ${reason}`;
    if (this.rows.key !== key) this.rows = { key, list: memoryRows(samples, names, reason, list) };
    const rows = this.rows.list;
    const memoryPx = memoryHeight(rows, this.free - memoryTop - rows.length * 4 - FOOT_PX);
    const height = memoryTop + memoryPx + rows.length * 4 + FOOT_PX;
    const sessions = lanes.length > 1 && lanes[0].session !== lanes[lanes.length - 1].session;
    const offset = this.laneOffset;
    return { width, lanes, sessions, offset, lanePx, shown, lanesTop, lanesEnd, queueEnd, memoryTop, memoryPx, rows, height };
  }

  /** Which lanes are in sight where there are many: that of a new job, until a hand moves them. */
  leadTo(lanes, shown) {
    const { jobs, filter } = this.board;
    const latest = filter.latest();
    if (this.following && lanes.length > shown && latest !== this.led) {
      this.led = latest;
      const k = lanes.indexOf(jobs.laneOf[latest]);
      // one that never had a slot is of the newest session, whose lanes stand last
      const at = k < 0 ? lanes.length - 1 : k;
      if (at < this.laneOffset || at >= this.laneOffset + shown) this.laneOffset = at - shown + 1;
    }
    this.laneOffset = Math.max(0, Math.min(this.laneOffset, lanes.length - shown));
  }

  prepare() {
    const { board } = this;
    const now = board.now();
    if ((!board.jobs.n && !board.spans.lanes) || this.element.hidden) return null;
    this.readSizes();
    if (this.wide - GUTTER_PX - 8 < 40) return null;
    const list = stretches(board.jobs, now, board.spans);
    const at = this.measure(list);
    const open = board.jobs.live.size > 0 || board.spans.open;
    if (this.following) this.view = liveView(list, at.width, open);
    else if (this.fitted || !this.view) this.view = fitView(list, at.width, open);
    this.axis = new TimeAxis(list, at.width, this.view);
    this.at = at;
    this.now = now;
    return at;
  }

  surface(canvas, height) {
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(this.wide * ratio), Math.round(height * ratio)];
    const g = canvas.getContext("2d");
    if (canvas.width !== w || canvas.height !== h) {
      canvas.width = w;
      canvas.height = h;
      canvas.style.width = `${this.wide}px`;
      canvas.style.height = `${height}px`;
    }
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, this.wide, height);
    return g;
  }

  // -- the picture ------------------------------------------------------------------------------

  paint() {
    if (this.closed || !this.seen) return;
    const at = this.prepare();
    if (!at) return;
    const { axis } = this;
    const { look, names, versions, panel } = this.board;
    if (this.tall !== at.height) this.plot.style.height = `${at.height}px`;
    this.tall = at.height;
    const g = this.surface(this.canvas, at.height);
    const small = `11px ${look.font}`;
    g.font = small;
    g.textBaseline = "alphabetic";
    const marks = axisMarks(axis, (text) => g.measureText(text).width);
    drawGutter(g, at, names, look);
    g.save();
    g.beginPath();
    g.rect(GUTTER_PX - 4, 0, at.width + 8, at.height);
    g.clip();
    g.translate(GUTTER_PX, 0);
    drawGrid(g, at, marks, look);
    this.paintLanes(g, at);
    eachMemoryRow(at, (row, y0, y1) => drawMemoryRow(g, row, axis, y0, y1, look));
    drawFolds(g, at, axis, look); // over the lines: what is squeezed in there has no scale
    drawEdits(g, at, axis, versions, panel, look);
    g.restore();
    drawMemoryLabels(g, at, this.wide - 8, look);
    this.liveButton.setAttribute("aria-pressed", String(this.following));
    this.fitButton.setAttribute("aria-pressed", String(this.fitted));
    say(this.hint, this.hintText(at));
    this.paintOver();
    this.again();
  }

  paintLanes(g, at) {
    const { axis, now } = this;
    const { look, jobs, filter, spans } = this.board;
    for (let k = 0; k < at.shown; k += 1) {
      const lane = at.lanes[k + this.laneOffset];
      const y = at.lanesTop + k * at.lanePx;
      if (filter.active) {
        drawLane(g, jobs, lane, axis, y, now, look, true);
        drawLane(g, jobs, filter.lane(lane), axis, y, now, look);
      } else drawLane(g, jobs, lane, axis, y, now, look);
    }
    if (spans.lanes) drawSpans(g, spans, axis, AXIS_PX, now, look);
    if (jobs.waiting.size) drawQueueLane(g, jobs, axis, at.lanesEnd, now, look, filter);
  }

  /** While something runs the right edge moves: as often as it shows, or twice a second if asked to be calm. */
  again() {
    const { board, axis } = this;
    clearTimeout(this.timer);
    if (!(board.jobs.live.size || board.spans.open) || !board.alive) return;
    // a quarter of a pixel cannot be seen; what is out of view neither
    if (axis.x(this.now) > axis.width + 8 && !this.following) return;
    const wait = calm() ? CALM_MS : Math.min(CALM_MS, 500 / axis.scale);
    if (wait < 17) this.draw();
    else this.timer = setTimeout(() => this.draw(), wait);
  }

  hintText(at) {
    const more = at.lanes.length - at.shown;
    if (more > 0) {
      const from = this.laneOffset + 1;
      return `slots ${from} to ${from + at.shown - 1} of ${at.lanes.length}: drag up or down for the others`;
    }
    return this.pointer.focused() ? "wheel zooms, drag pans, f fits, l follows" : "click to use wheel and keys";
  }

  // -- the cursor -------------------------------------------------------------------------------

  paintOver() {
    const { at, axis } = this;
    if (!at) return;
    const { look, jobs } = this.board;
    const g = this.surface(this.over, at.height);
    g.save();
    g.beginPath();
    g.rect(GUTTER_PX - 6, 0, at.width + 14, at.height);
    g.clip();
    g.translate(GUTTER_PX, 0);
    for (const [i, strong] of [[this.hovered, false], [this.board.selected, true]]) {
      const y = i >= 0 && i < jobs.n ? this.laneTop(i) : null;
      if (y !== null) drawOutline(g, jobs, i, axis, y, this.now, look, strong);
    }
    if (this.cursor && this.cursor.x >= 0) drawCursor(g, at, axis, this.cursor.x, look);
    g.restore();
  }

  /** Top of the lane a job is in, null if it is not drawn. */
  laneTop(i) {
    const lane = this.board.jobs.laneOf[i];
    const k = lane ? this.at.lanes.indexOf(lane) - this.laneOffset : -1;
    return k >= 0 && k < this.at.shown ? this.at.lanesTop + k * this.at.lanePx : null;
  }

  /** Bring a job into view. */
  reveal(i) {
    if (!this.at || !this.axis) return;
    const { jobs } = this.board;
    const k = this.at.lanes.indexOf(jobs.laneOf[i]);
    if (k >= 0 && k < this.laneOffset) this.laneOffset = k;
    if (k >= this.laneOffset + this.at.shown) this.laneOffset = k - this.at.shown + 1;
    const start = jobs.laneOf[i] ? jobs.started[i] : jobs.submitted[i];
    const x = this.axis.x(start);
    if (x < 0 || x > this.at.width - 8) {
      this.axis.pan(this.at.width / 3 - x);
      this.keepView();
    }
    this.draw();
  }
}

// The card: three bands in the page, and the line to the kernel. This file comes last.

class CardView {
  constructor(board, element) {
    this.board = board;
    this.host = element;
    this.frames = 0; // since it was to be styled and was not in the page
    this.root = make("div", "kit-card");
    this.head = new HeadBand(board);
    this.summary = new SummaryBand(board);
    this.timeline = new Timeline(board, { select: (i) => this.select(i), open: () => this.pane.focus(), find: () => this.filter.show() });
    this.pane = new Pane(board);
    this.bands = new Bands(this, board);
    this.timeline.beside(this.pane.element, this.pane.body);
    this.filter = new FilterBand(board);
    this.filter.onClose = () => this.timeline.plot.focus();
    this.legend = new Legend(board);
    this.timeline.tools.append(this.filter.shortcut, this.legend.toggle);
    this.timeline.element.append(this.legend.element);
    this.empty = make("div", "kit-empty");
    this.empty.hidden = true;
    this.spoken = make("div", "kit-unseen");
    this.spoken.setAttribute("aria-live", "polite");
    this.list = new JobList(board, (i) => this.selectAndReveal(i), this.spoken);
    this.body = make("div", "kit-body");
    this.body.append(this.timeline.element, this.pane.element);
    this.root.append(this.head.element, this.head.note, ...this.bands.elements, this.summary.element, this.filter.element, this.empty, this.body, this.list.element, this.spoken);
    this.root.addEventListener("keydown", passSave, true);
    this.attach();
    this.stops = [board.onChange((what) => this.draw(what)), onThemeChange(() => this.restyle())];
  }

  /** In the page, and marked as live: the static outputs beside it hide by that mark. */
  attach() {
    this.host.replaceChildren(this.root);
    this.host.classList.add("kit-live");
    this.restyle();
  }

  close() {
    this.closed = true;
    for (const stop of this.stops) stop();
    this.timeline.close();
    this.list.close();
    this.filter.stop();
  }

  restyle() {
    requestAnimationFrame(() => {
      if (this.closed) return;
      if (!this.root.isConnected) {
        // not placed yet, or a cell off screen: its colours can be read when it is in the page
        this.frames += 1;
        if (this.frames < 10) this.restyle();
        else setTimeout(() => this.restyle(), 250);
        return;
      }
      this.frames = 0;
      this.board.look = readLook(this.root);
      this.draw("theme");
    });
  }

  select(i) {
    this.board.select(i);
    if (i < 0) return;
    const { jobs } = this.board;
    const took = jobs.took(i, this.board.now());
    say(this.spoken, `job ${jobs.id(i)}, ${stateWord(jobs.state[i])}${Number.isFinite(took) ? `, ${duration(took)}` : ""}`);
  }

  selectAndReveal(i) {
    this.select(i);
    this.timeline.reveal(i);
  }

  draw(what) {
    const { board } = this;
    if (what === "alive") {
      this.drawAlive();
      return;
    }
    if (!board.alive || !board.look) return;
    this.bands.draw(what);
    if (what === "editor" || what === "export") {
      this.head.drawButtons();
      return;
    }
    if (what === "clicks" || what === "head" || what === "snapshot" || what === "theme") this.head.draw();
    else this.head.drawButtons();
    if (what === "clicks" || what === "live") {
      if (what === "live") this.pane.draw("live");
      return;
    }
    if (what === "part") {
      this.pane.draw("part");
      return;
    }
    const none = board.started && board.jobs.n === 0;
    const one = Boolean(board.head.job);
    this.root.classList.toggle("kit-one", one);
    this.head.element.hidden = one;
    this.timeline.element.hidden = one;
    this.pane.setCancel(one ? this.head.cancel : null);
    const setup = board.spans.lanes > 0;
    this.body.hidden = (none && !setup) || !board.started;
    this.body.classList.toggle("kit-no-job", none);
    this.summary.element.hidden = none || one;
    this.filter.element.classList.toggle("kit-gone", none || one);
    this.empty.hidden = !none;
    if (none) this.drawEmpty();
    this.summary.draw();
    this.filter.draw();
    this.legend.draw();
    this.timeline.draw();
    this.pane.drawMatch();
    if (what !== "filter") this.pane.draw(what);
    this.list.draw();
  }

  drawEmpty() {
    const { call } = this.board.head;
    if (call === undefined) {
      // no handler yet either: that comes first
      this.empty.replaceChildren(make("span", "", "No handler yet. Put "), make("code", "kit-code", "%%handler"), make("span", "", " on the first line of a cell that defines "), make("code", "kit-code", "def handler(job):"), make("span", "", " and run it."));
      return;
    }
    const text = make("span", "", "No jobs yet. Run one: ");
    this.empty.replaceChildren(text, make("code", "kit-code", call));
    this.bands.begin();
  }

  /** The kernel that drove this card is gone: the static picture beside it takes its place. */
  drawAlive() {
    if (this.board.alive) {
      this.attach();
      return;
    }
    this.host.classList.remove("kit-live");
    this.host.replaceChildren();
  }
}

export default function card() {
  let board = null;
  return {
    initialize({ model }) {
      board = new Board((content, buffers) => model.send(content, undefined, buffers));
      model.on("msg:custom", (content, buffers) => board.receive(content, buffers));
      // JupyterLab: the kernel restarted, or the connection was made anew. If it is alive it answers.
      model.on("comm_live_update", () => {
        board.lost();
        board.hello();
      });
    },
    render({ el }) {
      const view = new CardView(board, el);
      if (board.started) view.draw("snapshot");
      setTimeout(() => {
        // what came while this script was loaded has been heard by now, and maybe no more is needed
        if (!board.greeted) board.hello();
        board.greeted = false;
      }, 0);
      return () => view.close();
    },
  };
}

// Pictures, sounds and films of a payload. The kind was told by the kernel from the first bytes; only
// the kinds below are ever given to the browser, and only as bytes of ours, never as an address.

const SHOWN_KINDS = {
  "image/png": "img", "image/jpeg": "img", "image/webp": "img", "image/gif": "img",
  "audio/wav": "audio", "audio/mpeg": "audio", "audio/ogg": "audio", "audio/mp4": "audio", "audio/webm": "audio",
  "video/mp4": "video", "video/webm": "video", "video/ogg": "video",
};
const AT_ONCE_BYTES = 5_000_000; // larger ones wait for a click

/** Element for one media node; it asks the board for the bytes. */
function mediaElement(board, what, { node, key }) {
  const figure = make("figure", "kit-figure");
  const caption = make("figcaption", "kit-soft", key ? `${key}  ${mediaText(node)}` : mediaText(node));
  const tag = SHOWN_KINDS[node.mime];
  if (node.hidden || !tag) {
    figure.append(make("div", "kit-hidden-media", node.hidden ?? mediaText(node)), caption);
    return figure;
  }
  const name = `${what}:${node.at.join(",")}`;
  const request = { t: "media", what, at: node.at };
  const place = make("div", "kit-media");
  if (node.width && tag === "img") place.style.aspectRatio = `${node.width} / ${node.height}`;
  figure.append(place, caption);
  const fill = () => {
    const part = board.part(name, request);
    if (!part) return false;
    place.replaceChildren(part.url ? player(tag, part.url, key, figure) : make("span", "kit-soft", part.s ?? "not shown"));
    place.style.aspectRatio = "";
    return true;
  };
  const wait = () => {
    if (fill()) return;
    const stop = board.onChange((change) => {
      if (change === "part" && fill()) stop();
      if (change === "detail" || !figure.isConnected) stop();
    });
  };
  if (node.bytes > AT_ONCE_BYTES) place.append(button("kit-more", `Load ${bytes(node.bytes)}`, wait));
  else wait();
  return figure;
}

/** All media of a payload; wide pictures take the whole width, others stand beside the tree. */
function galleryElement(board, what, media) {
  const wide = media.some(({ node }) => node.width > node.height * 1.25);
  const gallery = make("div", wide ? "kit-gallery kit-wide" : "kit-gallery");
  gallery.append(...media.map((one) => mediaElement(board, what, one)));
  return gallery;
}

function player(tag, url, key, figure) {
  const element = make(tag);
  element.src = url;
  if (tag !== "img") {
    element.controls = true;
    element.preload = "metadata";
    return element;
  }
  element.alt = key ? `Picture at ${key}` : "Picture";
  element.decoding = "async";
  const frame = button("kit-enlarge", "", () => {
    const large = figure.classList.toggle("kit-large");
    frame.setAttribute("aria-pressed", String(large));
  });
  frame.title = "Enlarge or shrink";
  frame.append(element);
  return frame;
}

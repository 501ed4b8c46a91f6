// Pictures, sounds and films of a payload. The kind was told by the kernel from the first bytes; only
// the kinds below are ever given to the browser, as bytes of ours. An address in a payload stays text
// until it is clicked, and is then asked for as a picture, sound or film and nothing else.

const SHOWN_KINDS = {
  "image/png": "img", "image/jpeg": "img", "image/webp": "img", "image/gif": "img",
  "audio/wav": "audio", "audio/mpeg": "audio", "audio/ogg": "audio", "audio/mp4": "audio", "audio/webm": "audio",
  "video/mp4": "video", "video/webm": "video", "video/ogg": "video",
};
const AT_ONCE_BYTES = 5_000_000; // of all media of a payload; what is over waits for a click
const ADDRESS_KINDS = {
  png: "img", jpg: "img", jpeg: "img", webp: "img", gif: "img",
  wav: "audio", mp3: "audio", ogg: "audio", oga: "audio", m4a: "audio", flac: "audio",
  mp4: "video", webm: "video", ogv: "video", m4v: "video", mov: "video",
};
const ADDRESS_WORDS = { img: "picture", audio: "sound", video: "film" };

/**
 * Element for one media node; it asks for the bytes.
 *
 * @param source {board, what, key}
 * @param atOnce whether to ask now and not wait for a click
 */
function mediaElement(source, { node, key }, atOnce = true) {
  const figure = make("figure", "kit-figure");
  const caption = make("figcaption", "kit-soft", key ? `${visible(key)}  ${mediaText(node)}` : mediaText(node));
  const save = button("kit-text-button", "Download", () => saveMedia(source, node, key, save));
  caption.append(" ", save);
  const tag = SHOWN_KINDS[node.mime];
  if (node.hidden || !tag) {
    figure.append(make("div", "kit-hidden-media", node.hidden ?? mediaText(node)), caption);
    return figure;
  }
  const place = make("div", "kit-media");
  figure.append(place, caption);
  const show = async () => {
    if (node.width && tag !== "audio") place.style.aspectRatio = `${node.width} / ${node.height}`;
    place.replaceChildren();
    const url = await mediaUrl(source, node);
    place.style.aspectRatio = "";
    place.replaceChildren(url.startsWith("blob:") ? player(tag, url, key, figure) : make("span", "kit-soft", url));
    if (node.width && tag === "img") place.style.aspectRatio = `${node.width} / ${node.height}`;
  };
  if (atOnce) show();
  else place.append(button("kit-more", `Show ${ADDRESS_WORDS[tag]}, ${bytes(node.bytes)}`, show));
  return figure;
}

/** Address of the bytes of a media node, asked for once; or a sentence why there is none. */
async function mediaUrl(source, node) {
  const { board, what, key } = source;
  const name = `${key ?? ""}${what}:${node.at.join(",")}`;
  const kept = board.parts.get(name);
  if (kept) return kept.url;
  const found = await fetchMedia(board, partOf(source, node.at));
  if (!found.parts || !SHOWN_KINDS[found.mime]) return found.s ?? "not shown";
  const url = URL.createObjectURL(new Blob(found.parts, { type: found.mime }));
  const twice = board.parts.get(name)?.url;
  if (twice) URL.revokeObjectURL(twice);
  board.parts.set(name, { url });
  return url;
}

async function saveMedia(source, node, key, told) {
  told.disabled = true;
  const found = await fetchMedia(source.board, { ...partOf(source, node.at), any: true }, (at, n) => {
    if (n > SLICE_BYTES) say(told, `${bytes(at)} of ${bytes(n)}`);
  });
  told.disabled = false;
  if (found.parts) saveFile(fileName(key, node.mime.split("/")[0], EXTENSIONS[node.mime] ?? "bin"), found.parts);
  sayDone(told, found.parts ? "Downloaded" : found.s, "Download");
}

/** All media of a payload; wide pictures take the whole width, others stand beside the tree. */
function galleryElement(source, media, size = 0) {
  const wide = media.some(({ node }) => node.width > node.height * 1.25);
  const gallery = make("div", wide ? "kit-gallery kit-wide" : "kit-gallery");
  // of a payload that /run would refuse, the page gets no more than the text of the view by itself
  let left = size > RUN_LIMIT_BYTES ? 0 : AT_ONCE_BYTES;
  gallery.append(...media.map((one) => {
    left -= one.node.hidden ? 0 : one.node.bytes;
    return mediaElement(source, one, left >= 0);
  }));
  return gallery;
}

function player(tag, url, key, figure) {
  const element = make(tag);
  if (url) element.src = url;
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

// -- addresses ------------------------------------------------------------------------------------

/** Whether a string is an address that may be asked for: http or https, nothing else. */
function isAddress(text) {
  if (text.length > 4_000 || !/^https?:\/\/[^\s"'<>\\]+$/i.test(text)) return false;
  return URL.canParse ? URL.canParse(text) : true;
}

/** What an address can be shown as, by the ending of its path: one kind, all three, or none. */
function addressKinds(text) {
  const ending = /\.([a-z0-9]{1,5})$/i.exec(new URL(text).pathname)?.[1]?.toLowerCase();
  if (!ending) return ["img", "audio", "video"];
  return ADDRESS_KINDS[ending] ? [ADDRESS_KINDS[ending]] : [];
}

/** An address as text, with buttons that load it. */
function addressElement(text, shown) {
  const holder = make("span", "kit-string");
  holder.append(shown);
  for (const tag of addressKinds(text)) {
    const load = button("kit-text-button kit-load", `Load ${ADDRESS_WORDS[tag]}`, () => {
      const figure = make("figure", "kit-figure kit-from-address");
      const place = make("div", "kit-media");
      const element = player(tag, "", "", figure);
      const media = element.tagName === "BUTTON" ? element.firstChild : element;
      media.referrerPolicy = "no-referrer";
      const said = make("figcaption", "kit-soft", `Loading from ${new URL(text).host}…`);
      const size = () => say(said, `${new URL(text).host}${media.naturalWidth || media.videoWidth ? `  ${media.naturalWidth || media.videoWidth} x ${media.naturalHeight || media.videoHeight}` : ""}${media.duration ? `  ${duration(media.duration * 1000)}` : ""}`);
      media.addEventListener(tag === "img" ? "load" : "loadedmetadata", size);
      media.addEventListener("error", () => say(said, `This address gave no ${ADDRESS_WORDS[tag]} that the browser can show.`));
      media.src = text;
      place.append(element);
      figure.append(place, said);
      for (const one of [...holder.querySelectorAll(".kit-load")]) one.remove();
      holder.append(figure);
    });
    load.title = `Your browser asks ${new URL(text).host} for it`;
    holder.append(" ", load);
  }
  return holder;
}

// The page's behaviour: it says what the camera does, connects the picture again
// when it was lost, lets go of it while nobody looks, and shows it full screen.
// Without this script the picture still plays.

const pollEvery = 2000; // ms between two looks at the state
const pollPatience = 4000; // ms until a look counts as failed
const retryFirst = 500; // ms until the picture is connected again,
const retryLast = 5000; // doubling up to this
const asleep = 10000; // ms without a tick of the clock: the computer slept

const nothing = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";

const stage = document.getElementById("stage");
const picture = document.getElementById("picture");
const veil = document.getElementById("veil");

const text = (id, value) => {
  const element = document.getElementById(id);
  // Writing the same again would make screen readers repeat it.
  if (element && element.textContent !== value) element.textContent = value;
};

// ---- The picture --------------------------------------------------------

let retryAfter = retryFirst;
let retryTimer = 0;
let connection = 0;

function connect() {
  clearTimeout(retryTimer);
  retryTimer = 0;
  if (document.hidden) return;
  // A new argument each time, or the browser shows what it has already.
  connection += 1;
  picture.src = `${stage.dataset.video}?t=${Date.now()}.${connection}`;
}

function connectLater() {
  veil.hidden = false;
  if (retryTimer || document.hidden) return;
  retryTimer = setTimeout(connect, retryAfter);
  retryAfter = Math.min(retryAfter * 2, retryLast);
}

function release() {
  clearTimeout(retryTimer);
  retryTimer = 0;
  picture.src = nothing;
}

picture.addEventListener("error", connectLater);
picture.addEventListener("load", () => {
  if (picture.src === nothing) return;
  retryAfter = retryFirst;
  veil.hidden = true;
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    release();
  } else {
    connect();
    look();
  }
});
addEventListener("pageshow", (event) => {
  if (event.persisted) connect();
});
addEventListener("online", connect);

// ---- The state ----------------------------------------------------------

const looks = {
  online: "Live picture",
  starting: "Waiting for the camera",
  offline: "No live picture",
  lost: "No connection to the camera server",
};

function show(look, headline, remedy, facts) {
  document.getElementById("status").dataset.look = look;
  text("headline", headline);
  text("remedy", remedy);
  text("facts", facts);
}

function showState(state) {
  const camera = state.camera;
  const facts = [];
  if (camera.granted) facts.push(`${camera.granted.width} × ${camera.granted.height}`);
  if (camera.state === "online") facts.push(`${Math.round(camera.fps)} fps`);
  const viewers = state.stream.viewers.length;
  facts.push(viewers === 1 ? "1 viewer" : `${viewers} viewers`);
  const cause = camera.cause;
  show(
    camera.state,
    cause ? cause.title : looks[camera.state] || camera.state,
    cause ? cause.remedy : camera.note || "",
    facts.join(" · "),
  );
  if (camera.info) {
    text("name", camera.info.name);
    document.title = `${camera.info.name} · webgear`;
  }
}

let lost = false; // the server does not answer
let startedAt = ""; // of the server, to notice another start
let lastTick = Date.now();
let lookTimer = 0;
let looking = false;

async function look() {
  if (looking) return;
  looking = true;
  clearTimeout(lookTimer);
  try {
    const answer = await fetch(stage.dataset.state, {
      cache: "no-store",
      signal: AbortSignal.timeout(pollPatience),
    });
    if (answer.status === 401) {
      // The right to look has ended: signed out elsewhere, or another password.
      location.assign(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
      return;
    }
    if (!answer.ok) throw new Error(`state ${answer.status}`);
    const state = await answer.json();
    showState(state);
    // A stream that ends in order leaves its last picture behind and tells the
    // page nothing. A server that was away, or was started again, or a computer
    // that slept, all mean: it ended.
    const slept = Date.now() - lastTick > pollEvery + asleep;
    if (lost || slept || (startedAt && startedAt !== state.started_at)) connect();
    lost = false;
    startedAt = state.started_at;
  } catch {
    lost = true;
    veil.hidden = false;
    show("lost", looks.lost, "It is tried again by itself.", "");
  }
  lastTick = Date.now();
  looking = false;
  if (!document.hidden) lookTimer = setTimeout(look, pollEvery);
}

// ---- Full screen --------------------------------------------------------

const full = document.getElementById("full");

const isWhole = () => document.fullscreenElement === stage || stage.classList.contains("whole");

function setWhole(on) {
  stage.classList.toggle("whole", on);
  document.body.classList.toggle("covered", on);
  full.setAttribute("aria-pressed", String(isWhole()));
}

async function toggleWhole() {
  if (document.fullscreenElement) {
    await document.exitFullscreen();
  } else if (stage.classList.contains("whole")) {
    setWhole(false);
  } else {
    try {
      await stage.requestFullscreen();
    } catch {
      setWhole(true); // iPhones give full screen to their own player only
    }
  }
}

full.hidden = false;
stage.classList.add("ready");
full.addEventListener("click", toggleWhole);
stage.addEventListener("click", toggleWhole);
document.addEventListener("fullscreenchange", () => full.setAttribute("aria-pressed", String(isWhole())));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "f") toggleWhole();
  if (event.key === "Escape" && stage.classList.contains("whole")) setWhole(false);
});

// The picture may have failed before this script was there to notice. One that
// still loads is not complete, and has no size before its first part.
if (picture.complete && picture.naturalWidth === 0) connectLater();
if (document.hidden) release();
look();

// Orders a job with a photo, follows it live and fetches its files. Nothing but what Node has:
//   DARKROOM_URL=http://… DARKROOM_TOKEN=dk_… node order.mjs photo.jpg files/
import { randomUUID } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

// Browsers have it, and newer Nodes; for others twenty lines over fetch do.
const EventSource = globalThis.EventSource ?? (await import("./event-source.mjs")).EventSource;

const [photo, folder = "files"] = process.argv.slice(2);
const { DARKROOM_URL = "http://127.0.0.1:8090", DARKROOM_TOKEN } = process.env;
// What went wrong so that whoever calls this can mend it: told in a sentence, without a trace.
class Refused extends Error {}
const types = { jpg: "image/jpeg", jpeg: "image/jpeg", png: "image/png", webp: "image/webp" };

if (!photo) give_up("usage: node order.mjs PHOTO [FOLDER]; DARKROOM_URL is where to order", 2);

if (!is_address(DARKROOM_URL)) give_up(`DARKROOM_URL is no address such as http://127.0.0.1:8090: ${DARKROOM_URL}`, 1);

// Under the same key it is the same place and the same order, however often it is sent.
const key = { "Idempotency-Key": process.env.ORDER ?? randomUUID() };

async function api(path, body, more = {}) {
  const headers = { ...more };
  if (DARKROOM_TOKEN) headers.Authorization = `Bearer ${DARKROOM_TOKEN}`;
  if (body) headers["Content-Type"] = "application/json";
  const answer = await reached(new URL(path, DARKROOM_URL), {
    method: body ? "POST" : "GET",
    headers,
    body: body && JSON.stringify(body),
  });
  const told = await answer.json().catch(() => {
    throw new Refused(`what answers at ${DARKROOM_URL} is not the API: ${answer.status}, and no JSON`);
  });
  if (!answer.ok) throw Object.assign(new Refused(`${told.code}: ${told.detail}`), told); // application/problem+json
  return told;
}

// Links lead to the bucket, which may be somewhere else; what they end in opens it, and is not told.
async function reached(address, options) {
  const { origin } = new URL(address);
  return await fetch(address, options).catch((error) => {
    const why = error.cause?.code ?? error.cause?.message ?? error.message;
    throw Object.assign(new Refused(`nobody answers at ${origin}: ${why}`), { exit: 3 });
  });
}

try {
  const job_id = await ordered();
  console.log("ordered", job_id);

  const ended = await follow(job_id);
  await fetch_files(await api(`/v1/jobs/${job_id}`));
  console.log(ended.state, ended.sentence.en);
  process.exitCode = ended.state === "completed" ? 0 : 1;
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  give_up(error.message, error.exit ?? 1);
}

function give_up(why, code) {
  console.error(why);
  process.exit(code);
}

function is_address(text) {
  try {
    return ["http:", "https:"].includes(new URL(text).protocol);
  } catch {
    return false;
  }
}

async function ordered() {
  // The photo goes straight into the bucket, to the one place that it was given.
  const bytes = await readFile(photo).catch((error) => {
    throw new Refused(`the photo cannot be read: ${error.message}`);
  });
  const contentType = types[photo.split(".").pop().toLowerCase()];
  const place = await api("/v1/uploads", { content_type: contentType, bytes: bytes.length }, key).catch((problem) => {
    if (problem.code === "ordered") return { ordered: problem.instance.split("/").pop() }; // before, under this key
    throw problem;
  });
  if (place.ordered) return place.ordered;
  const put = await reached(place.url, { method: "PUT", headers: { "Content-Type": contentType }, body: bytes });
  if (!put.ok) throw new Refused(`the photo was not taken: ${put.status}`);

  const { job_id, source } = place;
  await api("/v1/jobs", { recipe: "variations", job_id, source, params: { count: 2 }, external_ref: basename(photo) }, key);
  return job_id;
}

async function fetch_files(job) {
  const unwritten = (error) => {
    throw new Refused(`the files cannot be written: ${error.message}`);
  };
  await mkdir(folder, { recursive: true }).catch(unwritten);
  for (const file of job.artifacts.filter(({ kind }) => kind !== "original")) {
    const answer = await reached(file.url); // opens for 15 minutes, without a token
    if (!answer.ok) throw new Refused(`${file.key} was not given: ${answer.status}`);
    await writeFile(join(folder, basename(file.key)), await whole(answer)).catch(unwritten);
    console.log("file", basename(file.key), file.content_type, file.bytes);
  }
}

async function whole(answer) {
  const bytes = await answer.arrayBuffer().catch((error) => {
    throw new Refused(`a file broke off: ${error.cause?.code ?? error.message}`);
  });
  return Buffer.from(bytes);
}

async function follow(job_id) {
  // The address carries a ticket for a while, since an EventSource sends no token.
  const { events_url } = await api(`/v1/jobs/${job_id}`);
  return await new Promise((resolve, reject) => {
    const events = new EventSource(new URL(events_url, DARKROOM_URL));
    const tell = ({ data }) => {
      const { progress, sentence } = JSON.parse(data);
      console.log("live", `${Math.round(progress * 100)}%`, sentence.en);
    };
    events.addEventListener("snapshot", tell);
    events.addEventListener("change", tell);
    events.addEventListener("end", ({ data }) => {
      events.close();
      resolve(JSON.parse(data));
    });
    // A line that breaks comes again by itself. One that was refused does not: the ticket is over.
    events.addEventListener("error", () => {
      if (events.readyState === 2) setTimeout(() => follow(job_id).then(resolve, reject), 1000);
    });
  });
}

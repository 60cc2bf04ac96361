// The driver through which the conformance suite sends its events; see docs/callers/driver.md.
import { status } from "@grpc/grpc-js";

import { Client, identified, type NewEvent } from "./client.js";
import type { Event, Object as Fields } from "./gen/cio/sidecar/v1/event.js";
import { type EventResult, EventStatus } from "./gen/cio/sidecar/v1/ingest.js";
import { type Failure, Rejected } from "./retry.js";

const AT_ONCE = 64;
const BATCH = 500;
const PATIENCE_MS = 60_000;

interface Line {
  [name: string]: unknown;
  type?: "identify" | "track" | "page" | "screen" | "group" | "alias";
  context?: string | object;
  properties?: string | object;
  traits?: string | object;
}

const client = new Client(
  process.env.CIO_TARGET || "127.0.0.1:50051",
  process.env.CIO_TLS_CA_FILE || undefined,
);

async function sendEach(): Promise<void> {
  const receipts: Promise<object>[] = [];
  let written: Promise<void> = Promise.resolve();
  for await (const events of eventsAtHand()) {
    for (const event of events) {
      if (receipts.length >= AT_ONCE) await receipts.shift();
      const receipt = client
        .send(event, PATIENCE_MS)
        .then((result) => receiptOf(event, result), (error) => failed(event, error));
      receipts.push(receipt);
      written = written.then(async () => write(await receipt));
    }
  }
  await written;
}

async function sendBatches(): Promise<void> {
  for await (const events of eventsAtHand()) {
    for (let first = 0; first < events.length; first += BATCH) {
      const some = events.slice(first, first + BATCH);
      const receipts = await client.sendBatch(some, PATIENCE_MS).then(
        (results) => some.map((event, index) => receiptOf(event, results[index]!)),
        (error) => some.map((event) => failed(event, error)),
      );
      receipts.forEach(write);
    }
  }
}

async function stream(): Promise<void> {
  const stream = client.stream((event, result) => write(receiptOf(event, result)));
  for await (const events of eventsAtHand()) {
    for (const event of events) await stream.send(event);
  }
  await stream.close();
}

// The events of all lines that have come in meanwhile.
async function* eventsAtHand(): AsyncGenerator<Event[]> {
  let rest: Buffer[] = [];
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    const end = chunk.lastIndexOf("\n") + 1;
    if (end > 0) {
      yield eventsOf([...rest, chunk.subarray(0, end)]);
      rest = [];
    }
    rest.push(chunk.subarray(end));
  }
  yield eventsOf(rest);
}

function eventsOf(bytes: Buffer[]): Event[] {
  const lines = Buffer.concat(bytes).toString().split("\n").filter((line) => line !== "");
  return lines.map((line) => identified(newEvent(JSON.parse(line))));
}

function newEvent(line: Line): NewEvent {
  const { type, context, properties, traits, ...texts } = line;
  const call = { ...texts, properties: fields(properties), traits: fields(traits) };
  return { ...texts, context: fields(context), ...(type && { [type]: call }) };
}

// An object is sent as JSON where the line holds it as text, else as a Struct.
function fields(value: string | object | undefined): Fields | undefined {
  if (value === undefined) return undefined;
  return typeof value === "string" ? { json: Buffer.from(value) } : { struct: value };
}

function receiptOf(event: Event, result: EventResult): object {
  return {
    message_id: result.messageId || event.messageId,
    status: EventStatus[result.status]!.replace("EVENT_STATUS_", "").toLowerCase(),
    violations: result.violations,
    warnings: result.warnings,
  };
}

function failed(event: Event, error: Failure | Rejected): object {
  const receipt = { message_id: event.messageId };
  if (error instanceof Rejected) {
    const violations = error.violations.map(({ field, reason, description }) => ({
      field,
      reason,
      description,
    }));
    return { ...receipt, status: "rejected", violations };
  }
  return { ...receipt, status: "failed", code: status[error.code], message: error.details };
}

function write(receipt: object): void {
  process.stdout.write(`${JSON.stringify(receipt)}\n`);
}

function fail(error: unknown): never {
  console.error(`driver: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}

process.stdout.on("error", fail);
const calls: Record<string, () => Promise<void>> = { send: sendEach, batch: sendBatches, stream };
const call = calls[process.env.CIO_CALL || "send"];
if (!call) fail(`CIO_CALL: expected send, batch or stream, got ${process.env.CIO_CALL}`);
await call().catch(fail);
client.close();

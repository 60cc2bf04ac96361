// Sends events by Segment's SDK: JSON lines in on standard input. Ends when all are delivered.
//
//   node send.mjs http://127.0.0.1:8088 WRITE_KEY < events.ndjson

import { createInterface } from "node:readline";
import { Analytics } from "@segment/analytics-node";

const [host, writeKey] = process.argv.slice(2);
const analytics = new Analytics({ host, writeKey, flushAt: 15, flushInterval: 100, maxRetries: 30 });
analytics.on("error", (error) => {
  console.error(`${error.code}: ${error.reason?.message ?? error.reason}`);
  process.exitCode = 1;
});

for await (const line of createInterface({ input: process.stdin })) {
  const { type, timestamp, ...event } = JSON.parse(line);
  analytics[type]({ ...event, timestamp: new Date(timestamp) });
}
await analytics.closeAndFlush({ timeout: 60_000 });

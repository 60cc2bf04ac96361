// Hands events over for as long as one likes.
import { setTimeout as sleep } from "node:timers/promises";

import { type ClientDuplexStream, Metadata, status } from "@grpc/grpc-js";

import { identified, type NewEvent } from "./client.js";
import type { Event } from "./gen/cio/sidecar/v1/event.js";
import {
  type EventResult,
  EventStatus,
  type StreamRequest,
  type StreamResponse,
} from "./gen/cio/sidecar/v1/ingest.js";
import { type Failure, pause, rejection } from "./retry.js";

/** Is told what became of an event. */
export type OnResult = (event: Event, result: EventResult) => void;

type Call = ClientDuplexStream<StreamRequest, StreamResponse>;

/** How many messages may wait for their acks. */
const MAX_UNACKED = 1000;

/**
 * A stream that breaks is opened again, and what was not acked is sent again, in its order, with the
 * same message ids.
 */
export class EventStream {
  readonly #open: () => Call;
  readonly #onResult: OnResult;
  readonly #ended = deferred();
  #call: Call | undefined; // None while it waits to be opened again.
  #unacked: StreamRequest[] = [];
  #named = new Map<string, EventResult>();
  #sequence = 0;
  #attempt = 0;
  #closing = false;
  #failure: Error | undefined;
  #change = deferred();

  constructor(open: () => Call, onResult: OnResult) {
    this.#open = open;
    this.#onResult = onResult;
    // Who neither sends nor closes any more must not be ended by an unhandled rejection.
    this.#ended.promise.catch(() => {});
    this.#start();
  }

  /** Puts events on the stream, as one message, when there is room. Rejects once it has ended. */
  async send(...events: NewEvent[]): Promise<void> {
    while (this.#unacked.length >= MAX_UNACKED && !this.#failure) await this.#change.promise;
    if (this.#failure) throw this.#failure;
    const message = { sequence: ++this.#sequence, events: events.map(identified) };
    this.#unacked.push(message);
    this.#call?.write(message);
  }

  /** Waits until everything is acked. Rejects where it was not. */
  close(): Promise<void> {
    this.#closing = true;
    this.#call?.end();
    return this.#ended.promise;
  }

  #start(): void {
    const call = (this.#call = this.#open());
    this.#named.clear();
    call.on("data", (ack: StreamResponse) => this.#settle(ack));
    call.on("error", () => {}); // "status" tells more.
    call.on("status", (failure: Failure) => {
      if (failure.code !== status.OK) void this.#broke(call, failure);
    });
    call.on("end", () => {
      if (call !== this.#call) return;
      if (this.#closing && this.#unacked.length === 0) return this.#ended.resolve();
      const details = "the stream ended before the last ack";
      void this.#broke(call, { code: status.UNAVAILABLE, details, metadata: new Metadata() });
    });
    for (const message of this.#unacked) call.write(message);
    if (this.#closing) call.end();
  }

  async #broke(call: Call, failure: Failure): Promise<void> {
    if (call !== this.#call) return;
    this.#call = undefined;
    const wait = pause(failure, this.#attempt++);
    if (wait === undefined) {
      const error = rejection(failure);
      this.#failure =
        error instanceof Error
          ? error
          : Object.assign(new Error(`${status[error.code]}: ${error.details}`), error);
      this.#ended.reject(this.#failure);
      this.#changed();
      return;
    }
    await sleep(wait);
    this.#start();
  }

  #settle(ack: StreamResponse): void {
    this.#attempt = 0;
    for (const { sequence, index, result } of ack.results) {
      if (result) this.#named.set(`${sequence}:${index}`, result);
    }
    for (let message; (message = this.#unacked[0]) && message.sequence <= ack.sequence; ) {
      this.#unacked.shift();
      for (const [index, event] of message.events.entries()) {
        const key = `${message.sequence}:${index}`;
        this.#onResult(event, this.#named.get(key) ?? accepted(event));
        this.#named.delete(key);
      }
    }
    this.#changed();
  }

  #changed(): void {
    this.#change.resolve();
    this.#change = deferred();
  }
}

// What no ack names was accepted.
function accepted({ messageId }: Event): EventResult {
  const status = EventStatus.EVENT_STATUS_ACCEPTED;
  return { messageId, status, violations: [], warnings: [] };
}

function deferred() {
  let resolve!: () => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<void>((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
}

// Hands events to a cio-sidecar: one, many, or (stream.ts) a stream of them.
import { readFileSync } from "node:fs";

import { credentials, Metadata, type ChannelOptions, type ServiceError } from "@grpc/grpc-js";
import { ulid } from "ulid";

import { Event, type DeepPartial } from "./gen/cio/sidecar/v1/event.js";
import {
  type EventResult,
  IngestServiceClient,
  type SendBatchResponse,
  type SendResponse,
} from "./gen/cio/sidecar/v1/ingest.js";
import { retry } from "./retry.js";
import { EventStream, type OnResult } from "./stream.js";

// An event as one writes it down: what is left out is not set.
export type NewEvent = DeepPartial<Event>;

// What gRPC itself does for each call. RESOURCE_EXHAUSTED is not among the codes: it may mean that
// the message is too large, and only the status's details tell; see retry.ts.
const serviceConfig = {
  methodConfig: [
    {
      name: [
        { service: "cio.sidecar.v1.IngestService", method: "Send" },
        { service: "cio.sidecar.v1.IngestService", method: "SendBatch" },
      ],
      timeout: "10s",
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: "0.1s",
        maxBackoff: "2s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
};

const options: ChannelOptions = {
  "grpc.service_config": JSON.stringify(serviceConfig),
  // A proxy of the environment has no business with a sidecar.
  "grpc.enable_http_proxy": 0,
  "grpc.keepalive_time_ms": 60_000,
  // A sidecar that restarts is back within a second: don't wait two minutes for it.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2000,
};

// A call waits for a connection, until its deadline, rather than fail without one.
const patient = () => new Metadata({ waitForReady: true });

export class Client {
  readonly #service: IngestServiceClient;

  /**
   * A client of the sidecar at host:port or unix:PATH. It connects with the first call. With
   * `caFile`, a PEM file of the certificates to trust, it speaks TLS, else plain text. Make one, and
   * keep it.
   */
  constructor(target: string, caFile?: string) {
    const transport = caFile
      ? credentials.createSsl(readFileSync(caFile))
      : credentials.createInsecure();
    this.#service = new IngestServiceClient(target, transport, options);
  }

  /** Closes the connection. Calls in flight are lost: close streams first. */
  close(): void {
    this.#service.close();
  }

  /**
   * Hands one event over; the result comes when it is on the sidecar's disk. It is tried again for
   * `patienceMs`. Rejects with a Rejected where the event can't be used as it is, else with gRPC's
   * ServiceError.
   */
  async send(event: NewEvent, patienceMs = 30_000): Promise<EventResult> {
    const request = { event: identified(event) };
    const response = await retry(patienceMs, () =>
      promised<SendResponse>((done) => this.#service.send(request, patient(), done)),
    );
    return response.result!;
  }

  /**
   * Hands many events over, at most 16 MiB together; a result for each, in order. Bad events are
   * rejected by their results; the others are accepted.
   */
  async sendBatch(events: NewEvent[], patienceMs = 30_000): Promise<EventResult[]> {
    const request = { events: events.map(identified) };
    const response = await retry(patienceMs, () =>
      promised<SendBatchResponse>((done) => this.#service.sendBatch(request, patient(), done)),
    );
    return response.results;
  }

  /** A stream of events: `onResult` is told what became of each, in order. */
  stream(onResult: OnResult): EventStream {
    return new EventStream(() => this.#service.stream(patient()), onResult);
  }
}

/** An event with an id is accepted once, however often it is sent. */
export function identified(event: NewEvent): Event {
  return Event.fromPartial({ ...event, messageId: event.messageId || ulid() });
}

/** An object as JSON bytes: cheaper than `{ struct: value }`, for whatever JSON.stringify takes. */
export function json(value: object): { json: Buffer } {
  return { json: Buffer.from(JSON.stringify(value)) };
}

function promised<T>(
  call: (done: (error: ServiceError | null, response: T) => void) => unknown,
): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, response) => (error ? reject(error) : resolve(response)));
  });
}

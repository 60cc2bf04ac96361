package com.example.caller;

import cio.sidecar.v1.Event;
import cio.sidecar.v1.EventResult;
import cio.sidecar.v1.EventStatus;
import cio.sidecar.v1.IngestServiceGrpc.IngestServiceStub;
import cio.sidecar.v1.StreamRequest;
import cio.sidecar.v1.StreamResponse;
import cio.sidecar.v1.StreamResult;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;

/**
 * Hands events over for as long as you like. A stream that breaks is opened again, and what was not
 * acked is sent again, in its order, with the same message ids.
 */
final class EventStream implements AutoCloseable {
  /** How many messages may wait for their acks. */
  private static final int MAX_UNACKED = 1000;

  private final IngestServiceStub service;
  private final Duration patience;
  private final BiConsumer<Event, EventResult> onResult;

  // All that follows is guarded by this; waiters are notified when something is settled, and at the
  // end.
  private final Deque<StreamRequest> waiting = new ArrayDeque<>();
  private final Deque<StreamRequest> sent = new ArrayDeque<>(); // by the present call, not acked
  private ClientCallStreamObserver<StreamRequest> call;
  private long sequence;
  private int attempt;
  private boolean closing;
  private boolean halfClosed;
  private boolean ended;
  private StatusRuntimeException failure;

  EventStream(
      IngestServiceStub service, Duration patience, BiConsumer<Event, EventResult> onResult) {
    this.service = service;
    this.patience = patience;
    this.onResult = onResult;
    open();
  }

  /**
   * Puts events on the stream, as one message, and waits while too many are not acked. What becomes
   * of them is told to {@code onResult}.
   *
   * @throws StatusRuntimeException where the stream has ended permanently
   */
  synchronized void send(Event... events) throws InterruptedException {
    while (!ended && waiting.size() + sent.size() >= MAX_UNACKED) {
      wait();
    }
    throwFailure();
    if (closing) {
      throw new IllegalStateException("the stream is closed");
    }
    sequence++;
    waiting.add(
        StreamRequest.newBuilder()
            .setSequence(sequence)
            .addAllEvents(Arrays.stream(events).map(Events::withId).toList())
            .build());
    push();
  }

  /**
   * Waits until everything is acked.
   *
   * @throws StatusRuntimeException where it was not
   */
  @Override
  public synchronized void close() throws InterruptedException {
    closing = true;
    push();
    long end = System.nanoTime() + patience.toNanos();
    while (!ended) {
      long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
      if (left <= 0) {
        end(Status.DEADLINE_EXCEEDED
            .withDescription(waiting.size() + sent.size() + " messages are not acked")
            .asRuntimeException());
      } else {
        wait(left);
      }
    }
    throwFailure();
  }

  /** Ends it at once; what is not acked may be lost. */
  synchronized void cancel() {
    if (!ended) {
      end(Status.CANCELLED.withDescription("by the caller").asRuntimeException());
    }
  }

  private synchronized void open() {
    if (ended) {
      return;
    }
    while (!sent.isEmpty()) {
      waiting.addFirst(sent.removeLast());
    }
    halfClosed = false;
    // Cast as the stubs' documentation allows. The lock keeps push out until call is set.
    call = (ClientCallStreamObserver<StreamRequest>) service.stream(new Acks());
    push();
  }

  /** Sends what may be sent: flow control calls again when there is room for more. */
  private synchronized void push() {
    if (ended || halfClosed) {
      return;
    }
    while (!waiting.isEmpty() && call.isReady()) {
      StreamRequest message = waiting.remove();
      sent.add(message);
      call.onNext(message);
    }
    if (closing && waiting.isEmpty()) {
      halfClosed = true;
      call.onCompleted();
    }
  }

  private synchronized List<StreamRequest> settled(long upTo) {
    List<StreamRequest> settled = new ArrayList<>();
    while (!sent.isEmpty() && sent.peek().getSequence() <= upTo) {
      settled.add(sent.remove());
    }
    attempt = 0;
    notifyAll();
    return settled;
  }

  private synchronized void broke(StatusRuntimeException why) {
    if (ended) {
      return;
    }
    Optional<Duration> pause = Retry.pause(why, attempt++);
    if (pause.isEmpty()) {
      end(why);
      return;
    }
    // Until it is open again, nothing is sent.
    halfClosed = true;
    CompletableFuture.delayedExecutor(pause.get().toMillis(), TimeUnit.MILLISECONDS)
        .execute(this::open);
  }

  private synchronized void completed() {
    if (closing && waiting.isEmpty() && sent.isEmpty()) {
      end(null);
    } else {
      broke(
          Status.UNAVAILABLE
              .withDescription("the stream ended before the last ack")
              .asRuntimeException());
    }
  }

  private synchronized void end(StatusRuntimeException why) {
    ended = true;
    failure = why;
    notifyAll();
    if (why != null) {
      call.cancel("the stream has ended", why);
    }
  }

  /** A new exception each time, with the trace of the thread that it is thrown in. */
  private void throwFailure() {
    if (failure != null) {
      throw Retry.rejection(
          new StatusRuntimeException(failure.getStatus(), failure.getTrailers()));
    }
  }

  /** What comes back by one call; gRPC calls it by one thread at a time. */
  private final class Acks implements ClientResponseObserver<StreamRequest, StreamResponse> {
    private final Map<Long, Map<Integer, EventResult>> named = new HashMap<>();

    @Override
    public void beforeStart(ClientCallStreamObserver<StreamRequest> starting) {
      starting.setOnReadyHandler(EventStream.this::push);
    }

    @Override
    public void onNext(StreamResponse ack) {
      for (StreamResult result : ack.getResultsList()) {
        named
            .computeIfAbsent(result.getSequence(), key -> new HashMap<>())
            .put(result.getIndex(), result.getResult());
      }
      for (StreamRequest message : settled(ack.getSequence())) {
        Map<Integer, EventResult> results = named.remove(message.getSequence());
        for (int index = 0; index < message.getEventsCount(); index++) {
          Event event = message.getEvents(index);
          EventResult result = results == null ? null : results.get(index);
          onResult.accept(event, result == null ? accepted(event) : result);
        }
      }
    }

    @Override
    public void onError(Throwable why) {
      broke(
          why instanceof StatusRuntimeException status
              ? status
              : Status.fromThrowable(why).asRuntimeException());
    }

    @Override
    public void onCompleted() {
      completed();
    }

    /** What no ack names was accepted. */
    private EventResult accepted(Event event) {
      return EventResult.newBuilder()
          .setMessageId(event.getMessageId())
          .setStatus(EventStatus.EVENT_STATUS_ACCEPTED)
          .build();
    }
  }
}

package com.example.caller;

import cio.sidecar.v1.Event;
import cio.sidecar.v1.EventResult;
import cio.sidecar.v1.EventStatus;
import cio.sidecar.v1.Identify;
import cio.sidecar.v1.Track;
import com.google.gson.annotations.SerializedName;
import com.google.rpc.BadRequest.FieldViolation;
import java.io.IOException;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.LongStream;

/** Every way of handing events to a sidecar; CIO_TARGET says where it is. */
final class Example {
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  private Example() {}

  public static void main(String[] args) throws IOException, InterruptedException {
    String target = System.getenv().getOrDefault("CIO_TARGET", "127.0.0.1:50051");
    try (Client client = Client.connect(target, System.getenv("CIO_TLS_CA_FILE"))) {
      one(client);
      batch(client);
      rejected(client);
      stream(client);
    }
  }

  /** One event, its traits as a plain map. */
  private static void one(Client client) throws InterruptedException {
    Identify identify =
        Identify.newBuilder()
            .setTraits(Events.map(Map.of("email", "user-42@example.com", "plan", "pro")))
            .build();
    EventResult result =
        client.send(
            Event.newBuilder().setUserId("user-42").setIdentify(identify).build(), PATIENCE);
    System.out.println("one: " + result.getStatus());
  }

  private record Order(@SerializedName("order_id") long id, double total) {}

  /** Many events with one call, their properties as JSON bytes. */
  private static void batch(Client client) throws InterruptedException {
    var events =
        LongStream.range(0, 3)
            .mapToObj(number -> Events.json(new Order(9007199254740993L + number, 99.5)))
            .map(properties -> track("user-42", "Order Completed", properties))
            .toList();
    for (EventResult result : client.sendBatch(events, PATIENCE)) {
      System.out.println("batch: " + result.getStatus());
    }
  }

  /** An event of nobody, and what is wrong with it. */
  private static void rejected(Client client) throws InterruptedException {
    try {
      client.send(track("", "Order Completed", Events.map(Map.of())), PATIENCE);
    } catch (Rejected rejected) {
      for (FieldViolation violation : rejected.violations()) {
        System.out.println("rejected: " + violation.getField() + " " + violation.getReason());
      }
    }
  }

  /** Events as they come; the end of the block waits for the last ack. */
  private static void stream(Client client) throws InterruptedException {
    AtomicInteger acked = new AtomicInteger();
    try (EventStream stream =
        client.stream(
            PATIENCE,
            (event, result) -> {
              if (result.getStatus() == EventStatus.EVENT_STATUS_REJECTED) {
                System.err.println(event.getMessageId() + " " + result.getViolationsList());
              } else {
                acked.incrementAndGet();
              }
            })) {
      for (int number = 0; number < 100; number++) {
        stream.send(track("user-42", "Step Taken", Events.map(Map.of("number", number))));
      }
    }
    System.out.println("stream: " + acked + " acked");
  }

  private static Event track(String userId, String event, cio.sidecar.v1.Object properties) {
    Track track = Track.newBuilder().setEvent(event).setProperties(properties).build();
    return Event.newBuilder().setUserId(userId).setTrack(track).build();
  }
}

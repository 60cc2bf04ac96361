package com.example.caller;

import cio.sidecar.v1.Event;
import com.github.f4b6a3.ulid.UlidCreator;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.protobuf.ByteString;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import com.google.protobuf.util.Values;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;

/** Ids of events, and the objects for their properties, traits and context. */
final class Events {
  // Customer.io unsets an attribute that is null: so nulls must go.
  private static final Gson GSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();

  private Events() {}

  /** The event with an id: it is accepted once, however often it is sent. */
  static Event withId(Event event) {
    if (!event.getMessageId().isEmpty()) {
      return event;
    }
    return event.toBuilder().setMessageId(UlidCreator.getMonotonicUlid().toString()).build();
  }

  /**
   * An object of a plain map of text, numbers, booleans, nulls, maps and lists. Every number becomes
   * a double.
   *
   * @throws IllegalArgumentException for a value of another class
   */
  static cio.sidecar.v1.Object map(Map<String, ?> fields) {
    return cio.sidecar.v1.Object.newBuilder().setStruct(struct(fields)).build();
  }

  /**
   * An object of anything that Gson makes a JSON object of, a record say: cheaper than {@link #map},
   * and a {@code long} stays exact.
   */
  static cio.sidecar.v1.Object json(Object value) {
    return jsonText(GSON.toJson(value));
  }

  /** An object of JSON text that is at hand already. */
  static cio.sidecar.v1.Object jsonText(String json) {
    return cio.sidecar.v1.Object.newBuilder().setJson(ByteString.copyFromUtf8(json)).build();
  }

  private static Struct struct(Map<?, ?> fields) {
    Struct.Builder struct = Struct.newBuilder();
    fields.forEach((key, value) -> struct.putFields(key.toString(), value(value)));
    return struct.build();
  }

  private static Value value(Object value) {
    if (value == null) {
      return Values.ofNull();
    } else if (value instanceof String text) {
      return Values.of(text);
    } else if (value instanceof Boolean bool) {
      return Values.of(bool);
    } else if (value instanceof Number number) {
      return Values.of(number.doubleValue());
    } else if (value instanceof Map<?, ?> fields) {
      return Values.of(struct(fields));
    } else if (value instanceof Iterable<?> list) {
      return Values.of(
          StreamSupport.stream(list.spliterator(), false)
              .map(Events::value)
              .collect(Collectors.toList()));
    }
    throw new IllegalArgumentException("no JSON value: " + value.getClass().getName());
  }
}

package com.example.caller;

import com.google.rpc.BadRequest.FieldViolation;
import java.util.List;
import java.util.stream.Collectors;

/** An event, or a request, can't be used as it is. */
final class Rejected extends RuntimeException {
  private static final long serialVersionUID = 1;
  private final transient List<FieldViolation> violations;

  Rejected(List<FieldViolation> violations) {
    super(
        violations.stream()
            .map(v -> v.getField() + ": " + v.getDescription() + " (" + v.getReason() + ")")
            .collect(Collectors.joining("; ", "rejected: ", "")));
    this.violations = violations;
  }

  /** Everything that is wrong with it, each with its field. */
  List<FieldViolation> violations() {
    return violations;
  }
}

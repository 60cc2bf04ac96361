"""Customer.io's Track API as data: operations, requests, limits, outcomes. PURE."""

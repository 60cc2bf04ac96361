"""HTTP ingest: takes events as the SDKs of Segment and RudderStack send them."""

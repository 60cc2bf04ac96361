// Package ingest hands events to a cio-sidecar: one, many, or a stream of them.
package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/structpb"

	pb "example.com/caller/gen/cio/sidecar/v1"
)

// What gRPC itself does for each call. RESOURCE_EXHAUSTED is not among the codes: it may mean that
// the message is too large, and only the status's details tell; see retry.
const serviceConfig = `{
  "methodConfig": [
    {
      "name": [
        {"service": "cio.sidecar.v1.IngestService", "method": "Send"},
        {"service": "cio.sidecar.v1.IngestService", "method": "SendBatch"}
      ],
      "waitForReady": true,
      "timeout": "10s",
      "retryPolicy": {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"]
      }
    },
    {
      "name": [{"service": "cio.sidecar.v1.IngestService", "method": "Stream"}],
      "waitForReady": true
    }
  ]
}`

// Client is a connection to a sidecar, for any number of goroutines. Make one, and keep it.
type Client struct {
	connection *grpc.ClientConn
	service    pb.IngestServiceClient
}

// Connect returns a client of the sidecar at host:port or unix:PATH. It connects with the first
// call. With caFile, a PEM file of the certificates to trust, it speaks TLS, else plain text.
func Connect(target, caFile string) (*Client, error) {
	transport := insecure.NewCredentials()
	if caFile != "" {
		var err error
		if transport, err = credentials.NewClientTLSFromFile(caFile, ""); err != nil {
			return nil, fmt.Errorf("certificates of %s: %w", caFile, err)
		}
	}
	connection, err := grpc.NewClient(
		target,
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(serviceConfig),
		// A proxy of the environment has no business with a sidecar.
		grpc.WithNoProxy(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute}),
		// A sidecar that restarts is back within a second: don't wait two minutes for it.
		grpc.WithConnectParams(connectParams),
	)
	if err != nil {
		return nil, err
	}
	return &Client{connection, pb.NewIngestServiceClient(connection)}, nil
}

// Close closes the connection. Calls in flight are lost: close streams first.
func (c *Client) Close() error { return c.connection.Close() }

// Send hands one event over, and returns when it is on the sidecar's disk. It tries again until ctx
// ends. The error is a *Rejected where the event can't be used as it is.
func (c *Client) Send(ctx context.Context, event *pb.Event) (*pb.EventResult, error) {
	identify(event)
	var response *pb.SendResponse
	err := c.retry(ctx, func() (err error) {
		response, err = c.service.Send(ctx, &pb.SendRequest{Event: event})
		return err
	})
	return response.GetResult(), err
}

// SendBatch hands many events over, at most 16 MiB together, and returns a result for each, in
// order. Bad events are rejected by their results; the others are accepted.
func (c *Client) SendBatch(ctx context.Context, events []*pb.Event) ([]*pb.EventResult, error) {
	for _, event := range events {
		identify(event)
	}
	var response *pb.SendBatchResponse
	err := c.retry(ctx, func() (err error) {
		response, err = c.service.SendBatch(ctx, &pb.SendBatchRequest{Events: events})
		return err
	})
	return response.GetResults(), err
}

// An event with an id is accepted once, however often it is sent.
func identify(event *pb.Event) {
	if event.GetMessageId() == "" {
		event.MessageId = ulid.Make().String()
	}
}

// Map makes an object of a plain map, for properties, traits or context. Every number becomes a
// double; an error tells of a value that is no JSON.
func Map(fields map[string]any) (*pb.Object, error) {
	object, err := structpb.NewStruct(fields)
	if err != nil {
		return nil, err
	}
	return &pb.Object{Value: &pb.Object_Struct{Struct: object}}, nil
}

// JSON makes an object of anything that encoding/json makes a JSON object of: cheaper than Map, and
// int64 stays exact.
func JSON(value any) (*pb.Object, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return &pb.Object{Value: &pb.Object_Json{Json: data}}, nil
}

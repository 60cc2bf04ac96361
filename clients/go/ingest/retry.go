package ingest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
)

var connectParams = grpc.ConnectParams{
	Backoff: backoff.Config{
		BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second,
	},
	MinConnectTimeout: 5 * time.Second,
}

// Rejected is the error of an event, or a request, that can't be used as it is.
type Rejected struct {
	Violations []*errdetails.BadRequest_FieldViolation
}

func (r *Rejected) Error() string {
	words := make([]string, len(r.Violations))
	for i, v := range r.Violations {
		words[i] = fmt.Sprintf("%s: %s (%s)", v.GetField(), v.GetDescription(), v.GetReason())
	}
	return "rejected: " + strings.Join(words, "; ")
}

// retry calls until success, or an error that would only come again, or the end of ctx.
func (c *Client) retry(ctx context.Context, call func() error) error {
	for attempt := 0; ; attempt++ {
		err := call()
		wait, again := pause(err, attempt)
		if !again || ctx.Err() != nil || c.closed() {
			return rejection(err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// closed says whether the client was closed, which cancels calls as a sidecar that stops does.
func (c *Client) closed() bool { return c.connection.GetState() == connectivity.Shutdown }

// pause says whether a call that ended so should be made again, and how long to wait before.
func pause(err error, attempt int) (time.Duration, bool) {
	backoff := 100 * time.Millisecond << min(attempt, 5)
	wait := backoff/2 + rand.N(backoff)
	failure := status.Convert(err)
	switch failure.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return wait, true
	case codes.ResourceExhausted:
		for _, detail := range failure.Details() {
			if info, ok := detail.(*errdetails.RetryInfo); ok {
				return max(wait, info.GetRetryDelay().AsDuration()), true
			}
		}
	}
	return 0, false
}

// rejection makes a *Rejected of an error that names fields, and leaves any other as it is.
func rejection(err error) error {
	for _, detail := range status.Convert(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			return &Rejected{bad.GetFieldViolations()}
		}
	}
	return err
}

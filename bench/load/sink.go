package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// tally is what the sink has seen since the start or the last reset.
type tally struct {
	Requests   int64   `json:"requests"`
	Operations int64   `json:"operations"`
	Bytes      int64   `json:"bytes"`
	LastAt     float64 `json:"last_at"` // Unix seconds of the last operation
	CPUSeconds float64 `json:"cpu_seconds"`
}

type sinkServer struct {
	mutex sync.Mutex
	tally tally
	cpu   float64
	pool  sync.Pool
	delay time.Duration
}

// sink serves the Track API, and GET /tally and POST /reset for the benchmark.
func sink(arguments []string) error {
	flags := flag.NewFlagSet("sink", flag.ExitOnError)
	delay := flags.Duration("delay", 0, "how long an answer takes")
	flags.Parse(arguments)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &sinkServer{delay: *delay, pool: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
	if err := printJSON(map[string]string{"address": listener.Addr().String()}); err != nil {
		return err
	}
	return http.Serve(listener, server)
}

func (s *sinkServer) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	switch request.URL.Path {
	case "/tally":
		s.mutex.Lock()
		found := s.tally
		s.mutex.Unlock()
		found.CPUSeconds = cpuSeconds() - s.cpu
		json.NewEncoder(answer).Encode(found)
	case "/reset":
		s.mutex.Lock()
		s.tally = tally{}
		s.cpu = cpuSeconds()
		s.mutex.Unlock()
	default:
		s.take(answer, request)
	}
}

func (s *sinkServer) take(answer http.ResponseWriter, request *http.Request) {
	body := s.pool.Get().(*bytes.Buffer)
	defer s.pool.Put(body)
	body.Reset()
	if _, err := body.ReadFrom(request.Body); err != nil {
		answer.WriteHeader(http.StatusBadRequest)
		return
	}
	operations := int64(0)
	if request.Method != http.MethodGet {
		operations = 1
		if strings.HasSuffix(request.URL.Path, "/batch") {
			operations = countItems(body.Bytes())
		}
	}
	if s.delay > 0 {
		time.Sleep(s.delay)
	}
	s.mutex.Lock()
	s.tally.Requests++
	s.tally.Operations += operations
	s.tally.Bytes += int64(body.Len())
	if operations > 0 {
		s.tally.LastAt = unixSeconds(time.Now())
	}
	s.mutex.Unlock()
	answer.Header().Set("Content-Type", "application/json")
	answer.Write([]byte("{}"))
}

// countItems counts the objects of {"batch":[{…},{…}]}.
func countItems(body []byte) int64 {
	count, depth := int64(0), 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			i = endOfText(body, i+1)
		case '{':
			if depth == 2 {
				count++
			}
			depth++
		case '[':
			depth++
		case '}', ']':
			depth--
		}
	}
	return count
}

// endOfText is the place of the quote that ends the text which begins at start.
func endOfText(body []byte, start int) int {
	for at := start; ; at++ {
		found := bytes.IndexByte(body[at:], '"')
		if found < 0 {
			return len(body)
		}
		at += found
		escapes := 0
		for at-escapes-1 >= start && body[at-escapes-1] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return at
		}
	}
}

func unixSeconds(moment time.Time) float64 {
	return float64(moment.UnixNano()) / 1e9
}

package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// ConnectSpec makes new connections in a closed loop: each client opens the next when the last is closed.
type ConnectSpec struct {
	To      netip.AddrPort `json:"to"`
	Host    string         `json:"host"`    // TLS server name
	Clients int            `json:"clients"` // at least 1
	Seconds float64        `json:"seconds"`
	CAFile  string         `json:"caFile"` // full TLS handshakes, verified against these; empty: a ClientHello and an answer only
}

// ConnectReport says how many connections there were.
type ConnectReport struct {
	Connections int     `json:"connections"` // that got their answer
	Failed      int     `json:"failed"`
	Seconds     float64 `json:"seconds"`
	Error       string  `json:"error,omitempty"` // one example
}

func connectAll(ctx context.Context, spec ConnectSpec, out io.Writer) error {
	hello, err := ClientHello(spec.Host)
	if err != nil {
		return err
	}
	var config *tls.Config
	if spec.CAFile != "" {
		if config, err = clientTLS(spec.CAFile, spec.Host); err != nil {
			return err
		}
	}
	var done, failed atomic.Int64
	var example atomic.Pointer[string]
	began := time.Now()
	end := began.Add(time.Duration(spec.Seconds * float64(time.Second)))
	_ = inParallel(max(spec.Clients, 1), func(int) error {
		buffer := make([]byte, AnswerBytes)
		for time.Now().Before(end) && ctx.Err() == nil {
			var err error
			if config != nil {
				err = secureOnce(spec.To, config)
			} else {
				err = askOnce(spec.To, hello, buffer)
			}
			if err == nil {
				done.Add(1)
				continue
			}
			failed.Add(1)
			text := err.Error()
			example.Store(&text)
			time.Sleep(time.Millisecond) // a proxy that refuses everybody must not be counted by the million
		}
		return nil
	})
	r := ConnectReport{Connections: int(done.Load()), Failed: int(failed.Load()), Seconds: time.Since(began).Seconds()}
	if text := example.Load(); text != nil {
		r.Error = *text
	}
	return report(out, r)
}

func clientTLS(file, host string) (*tls.Config, error) {
	authorities, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("%s: needs at least one PEM certificate, got none", file)
	}
	return &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS13}, nil
}

func askOnce(to netip.AddrPort, hello, buffer []byte) error {
	s, err := dial(to)
	if err != nil {
		return err
	}
	defer s.close()
	return s.ask(hello, buffer)
}

func secureOnce(to netip.AddrPort, config *tls.Config) error {
	raw, err := net.DialTimeout("tcp4", to.String(), ioTimeout)
	if err != nil {
		return err
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(ioTimeout))
	conn := tls.Client(raw, config)
	b := [1]byte{1}
	if _, err := conn.Write(b[:]); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, b[:])
	return err
}

// DownloadSpec reads as much as comes, on several connections at once.
type DownloadSpec struct {
	To          netip.AddrPort `json:"to"`
	Host        string         `json:"host"`
	Connections int            `json:"connections"`
	Seconds     float64        `json:"seconds"`
}

// DownloadReport says how much came.
type DownloadReport struct {
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

func downloadAll(ctx context.Context, spec DownloadSpec, out io.Writer) error {
	hello, err := ClientHello(spec.Host)
	if err != nil {
		return err
	}
	var total atomic.Int64
	began := time.Now()
	end := began.Add(time.Duration(spec.Seconds * float64(time.Second)))
	err = inParallel(max(spec.Connections, 1), func(int) error {
		s, err := dial(spec.To)
		if err != nil {
			return err
		}
		defer s.close()
		if err := s.write(hello); err != nil {
			return err
		}
		for buffer := make([]byte, streamChunk); time.Now().Before(end) && ctx.Err() == nil; {
			n, err := s.read(buffer)
			if err != nil {
				return fmt.Errorf("after %d bytes: %w", total.Load(), err)
			}
			total.Add(int64(n))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return report(out, DownloadReport{Bytes: total.Load(), Seconds: time.Since(began).Seconds()})
}

// HoldSpec opens connections and leaves them idle.
type HoldSpec struct {
	To          netip.AddrPort `json:"to"`
	Host        string         `json:"host"`
	Connections int            `json:"connections"`
}

// HoldReport says how many connections are open; each got its answer.
type HoldReport struct {
	Open   int    `json:"open"`
	Failed int    `json:"failed"`
	Error  string `json:"error,omitempty"` // one example
}

// openAtOnce is how many connections are being opened at any time.
const openAtOnce = 16

func holdAll(ctx context.Context, spec HoldSpec, out io.Writer) error {
	hello, err := ClientHello(spec.Host)
	if err != nil {
		return err
	}
	var next, open atomic.Int64
	err = inParallel(openAtOnce, func(int) error {
		var errs error
		for buffer := make([]byte, AnswerBytes); ctx.Err() == nil && next.Add(1) <= int64(spec.Connections); {
			s, err := dial(spec.To)
			if err == nil {
				if err = s.ask(hello, buffer); err != nil {
					s.close()
				}
			}
			if err != nil {
				errs = err
				continue
			}
			open.Add(1) // closed by the end of the process
		}
		return errs
	})
	r := HoldReport{Open: int(open.Load())}
	r.Failed = spec.Connections - r.Open
	if err != nil {
		r.Error = firstLine(err)
	}
	if err := report(out, r); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func firstLine(err error) string {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && len(joined.Unwrap()) > 0 {
		return joined.Unwrap()[0].Error()
	}
	return err.Error()
}

package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/partner"
)

// closeTimeout is how long a closing client waits for the other side's FIN.
const closeTimeout = time.Second

// maxBody bounds an answer.
const maxBody = 64 << 10

// failure is an error with its class.
type failure struct {
	class Class
	err   error
}

// Error implements error.
func (f *failure) Error() string { return string(f.class) + ": " + f.err.Error() }

// link is an established connection.
type link struct {
	raw     *net.TCPConn
	secure  *tls.Conn // nil if plain
	reader  *bufio.Reader
	connect time.Duration
}

func (l *link) stream() net.Conn {
	if l.secure != nil {
		return l.secure
	}
	return l.raw
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 2048) }}

// connection does everything for one arrival: attempts, hold, close.
func (g *generator) connection(due, hold time.Duration) outcome {
	o := outcome{due: due}
	var tried []netip.Addr
	for o.attempts < g.spec.Attempts {
		o.attempts++
		source, l, address, problem := g.attempt(tried)
		if source != "" {
			o.source = source
		}
		if problem == nil {
			o.connect, o.total = l.connect, time.Since(g.start)-due
			problem = l.hold(hold)
			l.close(problem == nil)
			if problem == nil {
				o.failure, o.err = "", nil
				return o
			}
			o.fail(problem)
			return o // cut while held: not a matter for another attempt
		}
		o.fail(problem)
		tried = append(tried, address)
	}
	return o
}

func (o *outcome) fail(problem *failure) {
	o.failure, o.err = problem.class, problem.err
	if o.first == "" {
		o.first = problem.class
	}
}

// attempt opens a connection and gets one answer.
func (g *generator) attempt(tried []netip.Addr) (source string, l *link, address netip.Addr, problem *failure) {
	deadline := time.Now().Add(seconds(g.spec.TimeoutSeconds))
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	address, problem = g.address(ctx, tried)
	if problem != nil {
		return "", nil, address, problem
	}
	l, problem = g.open(ctx, deadline, address)
	if problem != nil {
		return "", nil, address, problem
	}
	if g.spec.Plain {
		source, problem = l.ping()
	} else {
		source, problem = l.get(g.request)
	}
	if problem != nil {
		l.close(false)
		return source, nil, address, problem
	}
	_ = l.raw.SetDeadline(time.Time{})
	return source, l, address, nil
}

// open connects, and shakes hands unless plain. The deadline stays set.
func (g *generator) open(ctx context.Context, deadline time.Time, address netip.Addr) (*link, *failure) {
	begin := time.Now()
	dialer := net.Dialer{KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, "tcp4", netip.AddrPortFrom(address, uint16(g.spec.Port)).String())
	if err != nil {
		return nil, &failure{classify(err), err}
	}
	l := &link{raw: conn.(*net.TCPConn), connect: time.Since(begin), reader: readers.Get().(*bufio.Reader)}
	_ = l.raw.SetDeadline(deadline)
	if g.tls != nil {
		l.secure = tls.Client(l.raw, g.tls)
		if err := l.secure.HandshakeContext(ctx); err != nil {
			l.close(false)
			class := classify(err)
			if class == Other {
				class = TLS
			}
			return nil, &failure{class, err}
		}
	}
	l.reader.Reset(l.stream())
	return l, nil
}

// ping speaks the partner's cheap protocol.
func (l *link) ping() (source string, problem *failure) {
	if _, err := l.raw.Write([]byte{partner.Ping}); err != nil {
		return "", &failure{classify(err), err}
	}
	line, err := l.reader.ReadString('\n')
	if err != nil {
		return "", &failure{classify(err), err}
	}
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return "", &failure{Other, fmt.Errorf("unexpected answer %.60q", line)}
	}
	if fields[2] != "allowed" {
		return fields[0], &failure{Status, fmt.Errorf("partner refused %s", fields[0])}
	}
	return fields[0], nil
}

// get sends the request and reads the answer.
func (l *link) get(request []byte) (source string, problem *failure) {
	if _, err := l.stream().Write(request); err != nil {
		return "", &failure{classify(err), err}
	}
	response, err := http.ReadResponse(l.reader, nil)
	if err != nil {
		return "", &failure{classify(err), err}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	response.Body.Close()
	if err != nil {
		return "", &failure{classify(err), err}
	}
	var answer partner.Answer
	if err := json.Unmarshal(bytes.TrimSpace(body), &answer); err == nil {
		source = answer.Source
	}
	if response.StatusCode != http.StatusOK {
		return source, &failure{Status, errors.New(response.Status)}
	}
	return source, nil
}

// hold keeps the connection open and notices when the other side ends it.
func (l *link) hold(d time.Duration) *failure {
	if d <= 0 {
		return nil
	}
	_ = l.raw.SetReadDeadline(time.Now().Add(d))
	_, err := l.raw.Read(make([]byte, 1)) // below TLS, which a timeout would spoil
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err == nil {
		err = io.EOF // TLS says goodbye before it closes
	}
	return &failure{classify(err), err}
}

// close closes; if the connection is in order, as a polite client that closes first: its FIN, then the other side's, no reset.
func (l *link) close(inOrder bool) {
	if inOrder {
		_ = l.raw.SetDeadline(time.Now().Add(closeTimeout))
		if l.secure != nil {
			_ = l.secure.CloseWrite()
		}
		if l.raw.CloseWrite() == nil {
			for buffer := make([]byte, 256); ; {
				if _, err := l.raw.Read(buffer); err != nil {
					break
				}
			}
		}
	}
	_ = l.raw.Close()
	l.reader.Reset(nil)
	readers.Put(l.reader)
}

// classify names the class of an error.
func classify(err error) Class {
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ETIMEDOUT),
		errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EACCES):
		return Refused
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return Reset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return EOF
	}
	return Other
}

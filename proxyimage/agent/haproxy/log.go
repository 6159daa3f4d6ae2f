package haproxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pipe returns the writing end of a pipe whose lines go to f. It outlives a single HAProxy: old workers go on writing.
func (p *Process) pipe(f func([]byte)) (*os.File, error) {
	// Not os.Pipe: Go's poller would be woken by every line, read or not.
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("haproxy: pipe: %w", err)
	}
	reader, writer := os.NewFile(uintptr(ends[0]), "log"), os.NewFile(uintptr(ends[1]), "log")
	if _, err := unix.FcntlInt(writer.Fd(), unix.F_SETPIPE_SZ, pipeBytes); err != nil {
		p.Logger.Warn("the log pipe stays small: lines may be lost under load", "error", err)
	}
	go func() {
		defer reader.Close()
		lines := bufio.NewReaderSize(&gathering{reader: reader}, logBuffer)
		for {
			line, err := lines.ReadSlice('\n')
			if len(line) > 0 && !errors.Is(err, bufio.ErrBufferFull) {
				f(line)
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				if !errors.Is(err, io.EOF) {
					p.Logger.Error("cannot read haproxy's log", "error", err)
				}
				return
			}
		}
	}()
	return writer, nil
}

// line passes a line of the access log on. HAProxy writes there, too, that a proxy of the old worker has stopped.
func (p *Process) line(line []byte) {
	if line[0] == '{' {
		p.Line(line)
		return
	}
	p.message(line)
}

const (
	// logBuffer is how much of the log is read at once.
	logBuffer = 256 << 10
	// logPause is how long lines gather before they are read: to wake the agent for each costs more than all that it does with
	// it. The pipe holds some 3,000 lines, several times what HAProxy writes in a pause.
	logPause = 100 * time.Millisecond
)

// gathering pauses between two reads, so that many lines come with one.
type gathering struct {
	reader io.Reader
	begun  bool
}

// Read implements io.Reader.
func (g *gathering) Read(p []byte) (int, error) {
	if g.begun {
		time.Sleep(logPause)
	}
	g.begun = true
	return g.reader.Read(p)
}

// message logs a line that HAProxy wrote to standard error.
func (p *Process) message(line []byte) {
	if bytes.Contains(line, []byte("Loading failure!")) {
		select {
		case p.failed <- struct{}{}:
		default:
		}
	}
	level := slog.LevelDebug
	switch text := string(line); {
	case routine(text):
	case strings.HasPrefix(text, "[ALERT]"):
		level = slog.LevelError
	case strings.HasPrefix(text, "[WARNING]"):
		level = slog.LevelWarn
	}
	p.Logger.Log(context.Background(), level, "haproxy", "message", strings.TrimSpace(string(line)))
}

// routine reports whether a message is only about what the agent has asked for.
func routine(message string) bool {
	for _, part := range []string{" stopped (cumulated conns: ", ") exited with code 0 (Exit)", "is UP/READY (leaving forced maintenance)", "is going DOWN for maintenance"} {
		if strings.Contains(message, part) {
			return true
		}
	}
	return false
}

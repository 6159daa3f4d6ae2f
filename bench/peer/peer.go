// Package peer is what stands at both ends of the path in a benchmark: origins that answer, stream, or hold connections, a name
// server, and clients that connect as fast as they can, download, or hold connections.
//
// Each runs as a process of its own inside a network namespace (package rig starts it), so that its work is never counted as the
// proxy's, and ends when its standard input is closed: whoever dies takes its peers along. A TLS ClientHello followed by AnswerBytes
// bytes is the cheapest exchange that every proxy takes for a TLS connection; without cryptography at either end, what the
// proxy costs is not hidden behind what the peers cost.
package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Role says what a peer does.
type Role string

// The roles. The comment names the type of the specification and of the report.
const (
	Origin   Role = "origin"   // OriginSpec; no report
	DNS      Role = "dns"      // DNSSpec; no report
	Connect  Role = "connect"  // ConnectSpec, ConnectReport
	Download Role = "download" // DownloadSpec, DownloadReport
	Hold     Role = "hold"     // HoldSpec, HoldReport; stays until its standard input is closed
)

// AnswerBytes is the length of an origin's answer to a ClientHello: a TLS alert record.
const AnswerBytes = 7

// answer is a fatal TLS alert, handshake_failure: true to the protocol, so that nothing on the way takes offence.
var answer = [AnswerBytes]byte{0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28}

// Main plays a role. The specification is the argument, as JSON; servers print "ready" when they accept connections, clients
// their report as JSON.
func Main(role Role, specification string, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()
	run, ok := roles[role]
	if !ok {
		return fmt.Errorf("peer: role: unknown, got %q", role)
	}
	if err := run(ctx, []byte(specification), stdout); err != nil {
		return fmt.Errorf("peer %s: %w", role, err)
	}
	return nil
}

var roles = map[Role]func(context.Context, []byte, io.Writer) error{
	Origin:   func(ctx context.Context, spec []byte, out io.Writer) error { return play(ctx, spec, out, serveOrigin) },
	DNS:      func(ctx context.Context, spec []byte, out io.Writer) error { return play(ctx, spec, out, serveDNS) },
	Connect:  func(ctx context.Context, spec []byte, out io.Writer) error { return play(ctx, spec, out, connectAll) },
	Download: func(ctx context.Context, spec []byte, out io.Writer) error { return play(ctx, spec, out, downloadAll) },
	Hold:     func(ctx context.Context, spec []byte, out io.Writer) error { return play(ctx, spec, out, holdAll) },
}

// play decodes a role's own specification.
func play[Spec any](ctx context.Context, text []byte, out io.Writer, run func(context.Context, Spec, io.Writer) error) error {
	var spec Spec
	if err := json.Unmarshal(text, &spec); err != nil {
		return fmt.Errorf("specification: %w", err)
	}
	return run(ctx, spec, out)
}

func ready(out io.Writer) error {
	_, err := fmt.Fprintln(out, "ready")
	return err
}

func report(out io.Writer, value any) error { return json.NewEncoder(out).Encode(value) }

// inParallel runs n workers and returns what any of them complained of.
func inParallel(n int, work func(i int) error) error {
	errs := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { errs[i] = work(i) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// Exit is Main for a program: it returns the exit code.
func Exit(args []string) int {
	if len(args) != 2 {
		fmt.Fprintln(os.Stderr, "peer: arguments: need a role and a specification")
		return 2
	}
	if err := Main(Role(args[0]), args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

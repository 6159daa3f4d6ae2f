package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// commandTimeout bounds one command: HAProxy answers within a millisecond unless the machine is starved.
const commandTimeout = 5 * time.Second

// maxReply bounds what is read from the socket: `show stat` of 500 ports is about 200 KiB.
const maxReply = 8 << 20

// Admin speaks to HAProxy's admin socket. It opens a connection per command, so it always talks to the newest worker.
type Admin struct{ path string }

// NewAdmin returns an Admin for the socket at path. Nothing is opened yet.
func NewAdmin(path string) *Admin { return &Admin{path: path} }

// Do sends one line, which may hold a payload or several commands joined by ";", and returns the reply.
func (a *Admin) Do(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", a.path)
	if err != nil {
		return "", fmt.Errorf("haproxy admin socket: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", fmt.Errorf("haproxy admin socket: %w", err)
	}
	reply, err := io.ReadAll(io.LimitReader(conn, maxReply))
	if err != nil {
		return "", fmt.Errorf("haproxy admin socket: %w", errors.Join(err, ctx.Err()))
	}
	return string(reply), nil
}

// silent sends commands that answer nothing when they succeed.
func (a *Admin) silent(ctx context.Context, command string) error {
	reply, err := a.Do(ctx, command)
	if err != nil {
		return err
	}
	if reply = strings.TrimSpace(reply); reply != "" {
		return fmt.Errorf("haproxy admin socket: %.40q: %.200q", command, reply)
	}
	return nil
}

// Info is what HAProxy says of itself.
type Info struct {
	PID         int    // of the worker
	Connections int    // open now
	DroppedLogs uint64 // access log lines lost because the agent did not read fast enough
	Limit       int    // connections that may be open at once
	IdlePercent int    // of the time of its threads, lately
	PoolBytes   uint64 // memory that it holds
}

// Info asks the worker that owns the socket.
func (a *Admin) Info(ctx context.Context) (Info, error) {
	reply, err := a.Do(ctx, "show info")
	if err != nil {
		return Info{}, err
	}
	var info Info
	for line := range strings.Lines(reply) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		number, _ := strconv.ParseUint(value, 10, 63)
		switch key {
		case "Pid":
			info.PID = int(number)
		case "CurrConns":
			info.Connections = int(number)
		case "DroppedLogs":
			info.DroppedLogs = number
		case "Maxconn":
			info.Limit = int(number)
		case "Idle_pct":
			info.IdlePercent = int(number)
		case "PoolAlloc_MB":
			info.PoolBytes = number << 20
		}
	}
	if info.PID == 0 {
		return Info{}, fmt.Errorf("haproxy admin socket: `show info`: no Pid in %.200q", reply)
	}
	return info, nil
}

// Frontend is the state of one listening port.
type Frontend struct {
	Name    string // "port-443"
	Current int    // connections open now
	Denied  uint64 // connections refused because the client is not listed, since the worker started

	HTTP2Clients  int    // HTTP/2 connections open now
	HTTP2Requests uint64 // requests over HTTP/2 connections, since the worker started
}

// Frontends returns the state of the listening ports.
func (a *Admin) Frontends(ctx context.Context) ([]Frontend, error) {
	reply, err := a.Do(ctx, "show stat -1 1 -1") // all proxies, frontends only
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimPrefix(reply, "# "), "\n")
	column := map[string]int{}
	for i, name := range strings.Split(lines[0], ",") {
		column[name] = i
	}
	var all []Frontend
	for _, line := range lines[1:] {
		cells := strings.Split(line, ",")
		cell := func(name string) string {
			if i, ok := column[name]; ok && i < len(cells) {
				return cells[i]
			}
			return ""
		}
		if !strings.HasPrefix(line, "port-") {
			continue
		}
		current, _ := strconv.Atoi(cell("scur"))
		denied, _ := strconv.ParseUint(cell("dcon"), 10, 63)
		clients, _ := strconv.Atoi(cell("h2_open_connections"))
		requests, _ := strconv.ParseUint(cell("h2_headers_rcvd"), 10, 63)
		all = append(all, Frontend{Name: cells[0], Current: current, Denied: denied, HTTP2Clients: clients, HTTP2Requests: requests})
	}
	return all, nil
}

// RefusedClients returns how often each client that is not listed tried to connect, since it first tried.
func (a *Admin) RefusedClients(ctx context.Context) (map[string]uint64, error) {
	reply, err := a.Do(ctx, "show table refused-clients")
	if err != nil {
		return nil, err
	}
	clients := map[string]uint64{}
	for line := range strings.Lines(reply) {
		var key string
		var count uint64
		for _, field := range strings.Fields(line) {
			name, value, _ := strings.Cut(field, "=")
			switch name {
			case "key":
				key = value
			case "conn_cnt":
				count, _ = strconv.ParseUint(value, 10, 63)
			}
		}
		if key != "" {
			clients[key] = count
		}
	}
	return clients, nil
}

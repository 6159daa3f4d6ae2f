package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sallyport/sallyport/proxyimage/agent/atomicfile"
	"github.com/sallyport/sallyport/proxyimage/agent/source"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// sourceGrace is how long the agent waits at its start for the source before it goes by the last good copy.
const sourceGrace = time.Second

// documents follows the source and decides which document is in force: a good one with a serial that is not lower. A bad one
// is refused as a whole and the one in force stays. The last good one is kept on disk.
type documents struct {
	watcher source.Watcher
	path    string // last good copy
	logger  *slog.Logger
	metrics *metrics
	out     chan *routes.Document // documents that came into force

	mu      sync.Mutex
	current *routes.Document // nil if none is in force
	text    []byte           // of current, as Encode writes it
	since   time.Time        // when current came into force
	problem string           // why the source's document is not the one in force; empty if it is
}

func newDocuments(s settings, logger *slog.Logger, m *metrics) (*documents, error) {
	watcher, err := source.Open(s.routes, s.routesPoll)
	if err != nil {
		return nil, fmt.Errorf("SALLYPORT_ROUTES: %w", err)
	}
	return &documents{
		watcher: watcher, path: filepath.Join(s.stateDir, "routes.json"), logger: logger, metrics: m,
		out: make(chan *routes.Document),
	}, nil
}

// run follows the source until ctx is done.
func (d *documents) run(ctx context.Context) {
	d.load()
	grace, cancel := context.WithTimeout(ctx, sourceGrace)
	data, err := d.watcher.Next(grace)
	cancel()
	emitted := false
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		d.fail(fmt.Errorf("no document within %s", sourceGrace))
	} else {
		emitted = d.take(ctx, data, err)
	}
	if doc := d.inForce(); !emitted && doc != nil {
		d.logger.Warn("going by the last good routes document", "serial", doc.Serial)
		d.emit(ctx, doc)
	}
	for ctx.Err() == nil {
		data, err := d.watcher.Next(ctx)
		d.take(ctx, data, err)
	}
}

// load reads the last good copy.
func (d *documents) load() {
	data, err := os.ReadFile(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var doc *routes.Document
	if err == nil {
		doc, err = routes.Decode(data)
	}
	if err != nil {
		d.logger.Error("the last good routes document cannot be used", "error", err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.current, d.text, d.since = doc, data, time.Now()
}

// take judges what the source gave and reports whether a document came into force.
func (d *documents) take(ctx context.Context, data []byte, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	var doc *routes.Document
	var text []byte
	if err == nil {
		doc, err = routes.Decode(data)
	}
	if err == nil {
		text, err = routes.Encode(doc)
	}
	if err != nil {
		d.fail(err)
		return false
	}
	if changed, err := d.adopt(doc, text); err != nil || !changed {
		if err != nil {
			d.fail(err)
		}
		return false
	}
	if err := atomicfile.Write(d.path, text); err != nil {
		d.logger.Error("cannot keep the routes document on disk", "error", err)
	}
	d.logger.Info("routes document in force", "serial", doc.Serial, "routes", len(doc.Routes), "proxies", len(doc.Proxies))
	d.emit(ctx, doc)
	return true
}

// adopt puts doc in force if its serial allows it, and reports whether anything changed.
func (d *documents) adopt(doc *routes.Document, text []byte) (changed bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current != nil {
		switch same := bytes.Equal(text, d.text); {
		case doc.Serial < d.current.Serial:
			return false, fmt.Errorf("routes document: serial: must not be lower than %d, which is in force, got %d", d.current.Serial, doc.Serial)
		case doc.Serial == d.current.Serial && !same:
			return false, fmt.Errorf("routes document: serial: must rise with every change, got %d again", doc.Serial)
		case same:
			d.problem = ""
			d.metrics.documentProblem.Set(0)
			d.metrics.serial.Set(float64(doc.Serial))
			return false, nil
		}
	}
	d.current, d.text, d.since, d.problem = doc, text, time.Now(), ""
	d.metrics.documentProblem.Set(0)
	return true, nil
}

// fail records that the source's document is not the one in force.
func (d *documents) fail(err error) {
	d.mu.Lock()
	d.problem = err.Error()
	d.mu.Unlock()
	d.metrics.documentsRefused.Inc()
	d.metrics.documentProblem.Set(1)
	d.logger.Error("routes document refused", "error", err)
}

func (d *documents) emit(ctx context.Context, doc *routes.Document) {
	d.metrics.serial.Set(float64(doc.Serial))
	d.metrics.documentSince.SetToCurrentTime()
	select {
	case d.out <- doc:
	case <-ctx.Done():
	}
}

// inForce returns the document in force, or nil.
func (d *documents) inForce() *routes.Document {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current
}

// state returns what the status page says.
func (d *documents) state() (serial uint64, since time.Time, problem string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current != nil {
		serial, since = d.current.Serial, d.since
	}
	return serial, since, d.problem
}

package provider

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/registry"
)

// reloading is how a process is told that its configuration has changed, and how its log says what came of it.
type reloading struct {
	path    string         // of the configuration
	signal  syscall.Signal // that makes the process read it
	outcome *regexp.Regexp // a line of the log that tells the end
	success string         // part of that line if the process has taken it
}

// apply puts a configuration in force without a restart. If the process refuses it, it goes on with the one before, the file is put
// back, and the error is what the process said.
func (r reloading) apply(ctx context.Context, d daemon.Daemon, content []byte) error {
	before, err := os.ReadFile(r.path)
	if err != nil {
		return err
	}
	logFile := d.StateDir + "/" + d.Name + ".log"
	log, err := os.ReadFile(logFile)
	if err != nil {
		return err
	}
	offset := len(log)
	if err := registry.WriteFile(r.path, content, 0o644); err != nil {
		return err
	}
	if err := d.Signal(r.signal); err != nil {
		return errors.Join(err, registry.WriteFile(r.path, before, 0o644))
	}
	said := ""
	err = await(ctx, d, func() error {
		log, err := os.ReadFile(logFile)
		if err != nil {
			return err
		}
		if said = string(r.outcome.Find(log[min(offset, len(log)):])); said == "" {
			return errors.New("it has not said yet whether it takes the new configuration")
		}
		return nil
	})
	if err == nil && !strings.Contains(said, r.success) {
		err = fmt.Errorf("%s: refuses the new configuration and goes on with the old one: %s", d.Name, strings.TrimSpace(said))
	}
	if err != nil {
		return errors.Join(err, registry.WriteFile(r.path, before, 0o644))
	}
	return nil
}

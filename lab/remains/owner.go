package remains

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/sallyport/sallyport/lab/registry"
)

// Owner identifies the process that a lab must not outlive: process id, start time in clock ticks and boot id, joined by
// colons. A process id alone would be taken over by another process one day. The empty Owner owns nothing: such a lab lives
// until it is destroyed.
type Owner string

// Self returns the calling process as an owner.
func Self() (Owner, error) { return OwnerOfProcess(os.Getpid()) }

// Check returns an error unless the owner is empty or well formed.
func (o Owner) Check() error {
	if o == "" {
		return nil
	}
	parts := strings.Split(string(o), ":")
	if len(parts) != 3 {
		return fmt.Errorf("needs the form <process id>:<start ticks>:<boot id>, got %q", string(o))
	}
	for _, number := range parts[:2] {
		if _, err := strconv.ParseUint(number, 10, 64); err != nil {
			return fmt.Errorf("needs the form <process id>:<start ticks>:<boot id>, got %q", string(o))
		}
	}
	return nil
}

// Gone reports whether the owner has ended. An empty or malformed owner is never gone.
func (o Owner) Gone() bool {
	if o == "" || o.Check() != nil {
		return false
	}
	pid, _, _ := strings.Cut(string(o), ":")
	number, err := strconv.Atoi(pid)
	if err != nil {
		return false
	}
	now, err := OwnerOfProcess(number)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) { // ended before or while it was read
		return true
	}
	return err == nil && now != o
}

// OwnerOfProcess returns a running process as an owner; an error that wraps os.ErrNotExist if it has ended.
func OwnerOfProcess(pid int) (Owner, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The program's name, in parentheses, may hold anything: count from the last one. The start time is field 22.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("process %d: start time is missing", pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return "", fmt.Errorf("process %d: %w", pid, os.ErrNotExist)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	return Owner(fmt.Sprintf("%d:%s:%s", pid, fields[19], strings.TrimSpace(string(boot)))), nil
}

// OwnerOf returns the owner that the lab's Network names; empty if it names none or there is no Network.
func OwnerOf(lab registry.Lab) (Owner, error) {
	var network struct {
		Owner Owner `json:"owner"`
	}
	_, err := lab.FindRecord("network", "network", &network)
	return network.Owner, err
}

// Orphans returns the labs whose owner has ended.
func Orphans() ([]registry.Lab, error) {
	labs, err := registry.All()
	if err != nil {
		return nil, err
	}
	var orphans []registry.Lab
	for _, lab := range labs {
		owner, err := OwnerOf(lab)
		if err != nil {
			return nil, err
		}
		if owner.Gone() {
			orphans = append(orphans, lab)
		}
	}
	return orphans, nil
}

// Prune clears all labs whose owner has ended and returns their ids. Other labs are left alone.
func Prune(ctx context.Context) ([]string, error) {
	orphans, err := Orphans()
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, lab := range orphans {
		if err := Clear(ctx, lab); err != nil {
			return ids, err
		}
		ids = append(ids, lab.ID)
	}
	return ids, nil
}

package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheStackFilesHaveTheSizeTheyAreCalledBy(t *testing.T) {
	for cloud := range clouds {
		for _, zones := range []int{1, 3, 6} {
			if _, err := (size{cloud: cloud, zones: zones, slotsPerZone: 10, nodes: 1000, destinations: 500}).file(); err != nil {
				t.Errorf("%s, %d zones: %v", cloud, zones, err)
			}
		}
	}
}

func TestMemoryIsThatOfAllDescendants(t *testing.T) {
	proc := t.TempDir()
	for pid, text := range map[string]string{
		"1": "PPid:\t0\nVmRSS:\t  1000 kB\n", "2": "PPid:\t1\nVmRSS:\t  10 kB\n", "3": "PPid:\t2\nVmRSS:\t  5 kB\n", "4": "PPid:\t9\nVmRSS:\t  70 kB\n", "5": "PPid:\t2\n",
	} {
		if err := os.MkdirAll(filepath.Join(proc, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "status"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := descendantMemory(proc, 1); got != 15<<10 {
		t.Errorf("got %d bytes", got)
	}
}

func TestJudgeNamesEveryGoalThatWasMissed(t *testing.T) {
	small := figures{slots: 10, took: time.Second, cpu: time.Second, memory: 500 << 20}
	if err := judge(io.Discard, []figures{small, {slots: 60, took: 5 * time.Second, cpu: 5 * time.Second, memory: 1 << 30}}); err != nil {
		t.Error(err)
	}
	err := judge(io.Discard, []figures{small, {slots: 60, took: 21 * time.Second, cpu: 21 * time.Second, memory: 4 << 30}})
	if err == nil {
		t.Fatal("was accepted")
	}
	for _, want := range []string{"seconds for the largest stack: must be at most 20.0, got 21.0", "MiB for the largest stack", "times the CPU time", "times the memory"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestTheNumberOfResourcesIsRead(t *testing.T) {
	if got, err := planned("Resources:\n    + 752 to create\n"); err != nil || got != 752 {
		t.Errorf("got %d, %v", got, err)
	}
	if _, err := planned("Resources:\n    1 errored\n"); err == nil {
		t.Error("a preview without resources was accepted")
	}
}

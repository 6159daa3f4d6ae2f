package namespace

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Sysctl sets kernel settings of the namespace, such as "net.ipv4.ip_forward": "1", in the order of their names. A setting
// whose name contains a dot cannot be addressed; a setting that the kernel does not have is an os.ErrNotExist.
func Sysctl(name string, settings map[string]string) error {
	return Do(name, func() error {
		for _, key := range slices.Sorted(maps.Keys(settings)) {
			if err := writeSysctl(key, settings[key]); err != nil {
				return fmt.Errorf("namespace %s: sysctl %s: %w", name, key, err)
			}
		}
		return nil
	})
}

// ReadSysctl returns a kernel setting of the namespace, without the final newline.
func ReadSysctl(name, key string) (string, error) {
	var value []byte
	err := Do(name, func() (err error) {
		value, err = os.ReadFile(sysctlPath(key))
		return err
	})
	return strings.TrimSpace(string(value)), err
}

// writeSysctl works on the namespace of the current thread: /proc/sys/net shows that one.
func writeSysctl(key, value string) error {
	file, err := os.OpenFile(sysctlPath(key), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

func sysctlPath(key string) string { return "/proc/sys/" + strings.ReplaceAll(key, ".", "/") }

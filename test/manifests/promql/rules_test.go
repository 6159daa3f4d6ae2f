package promql

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"gopkg.in/yaml.v3"
)

// ruleFile is a rule file, or the spec of a PrometheusRule.
type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []struct{ Alert, Expr, For string }
	}
}

// document is an object that holds rules, or a rule file.
type document struct {
	ruleFile `yaml:",inline"`
	Kind     string
	Spec     ruleFile
	Data     map[string]string
}

func TestEveryExpressionIsPromQL(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../../../components/nodehealth/testdata/*.yaml", "../../../proxyimage/monitoring/testdata/*.rules.yaml.golden"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	p, checked := parser.NewParser(parser.Options{}), 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, rules := range documents(t, file, data) {
			for _, group := range rules.Groups {
				for _, rule := range group.Rules {
					if _, err := p.ParseExpr(rule.Expr); err != nil {
						t.Errorf("%s: %s: %v", file, rule.Alert, err)
					}
					if _, err := time.ParseDuration(rule.For); err != nil {
						t.Errorf("%s: %s: %v", file, rule.Alert, err)
					}
					checked++
				}
			}
		}
	}
	t.Logf("%d expressions", checked)
	if checked < 30 {
		t.Errorf("only %d expressions were found", checked)
	}
	if _, err := p.ParseExpr("rate(x[5m]"); err == nil {
		t.Error("the parser takes anything")
	}
}

func documents(t *testing.T, file string, data []byte) []ruleFile {
	t.Helper()
	var all []ruleFile
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var d document
		if err := decoder.Decode(&d); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, d.ruleFile, d.Spec)
		for _, text := range d.Data {
			var rules ruleFile
			if err := yaml.Unmarshal([]byte(text), &rules); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all = append(all, rules)
		}
	}
}

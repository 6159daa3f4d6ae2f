package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/stack"
)

// readStack reads the stack file as the Pulumi command line passed it on. All problems are reported at once, unknown keys
// included: the command line lets those through.
func readStack(ctx *pulumi.Context) (*stack.Stack, error) {
	values, err := allConfig()
	if err != nil {
		return nil, err
	}
	for _, key := range stack.Keys {
		if value, ok := ctx.GetConfig(stack.Namespace + key); ok {
			values[key] = value
		}
	}
	return stack.Decode(values)
}

// allConfig returns every key below our namespace, also those nobody asks for. The SDK has no call that lists keys; the
// environment variable is how the language host hands them over (sdk/v3/go/pulumi/run.go).
func allConfig() (map[string]any, error) {
	values := map[string]any{}
	text := os.Getenv(pulumi.EnvConfig)
	if text == "" {
		return values, nil
	}
	var all map[string]string
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, fmt.Errorf("%s: %w", pulumi.EnvConfig, err)
	}
	for key, value := range all {
		if name, ours := strings.CutPrefix(key, stack.Namespace); ours {
			values[name] = value
		}
	}
	return values, nil
}

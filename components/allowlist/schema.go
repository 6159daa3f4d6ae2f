package allowlist

import _ "embed" // the schema is a file, so that editors and partners' tools can read it as it is

// Schema is the JSON Schema (draft 2020-12) of a document, for partners who check what they fetch with a tool of their own. What no
// schema can say, [Parse] checks besides: that no IP is missing or doubled and that all are public.
//
//go:embed schema.json
var Schema []byte

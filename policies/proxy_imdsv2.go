package main

const (
	launchTemplateType = "aws:ec2/launchTemplate:LaunchTemplate"
	instanceType       = "aws:ec2/instance:Instance"
)

// proxyIMDSv2 closes the door from a tricked proxy to the machine's credentials.
var proxyIMDSv2 = policy{
	name: "proxy-imdsv2", level: mandatory,
	description: "EC2 machines demand a session token from who asks for their metadata.",
	types:       []string{launchTemplateType, instanceType},
	resource: func(j *judge, r resource) {
		tokens, endpoint := r.inputs.at("metadataOptions", "httpTokens"), r.inputs.at("metadataOptions", "httpEndpoint")
		if endpoint.text() == "disabled" {
			return
		}
		if j.sees(r, tokens, "set it to required") && tokens.text() != "required" {
			j.violates(r, tokens, "must be required", "set it: version 1 hands credentials to any request that a proxy can be tricked into")
		}
	},
}

package peer

import (
	"context"

	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/internal/gateway"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// PuppetKind is the kind of pools whose models answer their input after a set time: `--backend puppet=fixed:2ms,row:20us`.
func PuppetKind() gateway.Kind {
	return gateway.Kind{
		Config: config.Kind{
			Name: "puppet", Target: "script",
			Doc: "Answers each request with its input after a set time.",
			Keys: []config.Key{{
				Name: "script", Type: config.String, Required: true, Check: checkScript,
				Doc: "Settings such as fixed:2ms,row:20us,slots:1,model:NAME,max_batch:32.",
			}},
		},
		Start: func(gateway.Env) gateway.Host {
			return gateway.Host{
				Key:   func(p *config.Pool) string { return p.Name + " " + scriptOf(p) },
				Open:  openPuppet,
				Close: func() {},
			}
		},
	}
}

func checkScript(text string) error {
	_, err := puppet.Parse(text)
	return err
}

func scriptOf(p *config.Pool) string {
	var o struct{ Script string }
	p.Options.Into(&o)
	return o.Script
}

func openPuppet(p *config.Pool) (*gateway.Pool, error) {
	opts, err := puppet.Parse(scriptOf(p))
	if err != nil {
		return nil, err
	}
	back, end, ok, err := newDevice(opts)
	if err != nil {
		return nil, err
	}
	if !ok {
		back = puppet.New(opts)
		end = back.Close
	}
	return &gateway.Pool{
		Kind: "puppet", Slots: back, Catalog: back,
		Close: func(context.Context) error {
			end()
			return nil
		},
	}, nil
}

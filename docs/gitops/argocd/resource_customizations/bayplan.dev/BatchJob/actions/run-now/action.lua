-- One run at once; a token stands for the same run for ever, so the time serves as one.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["bayplan.dev/run-now"] = os.date("!%Y%m%d-%H%M%S")
return obj

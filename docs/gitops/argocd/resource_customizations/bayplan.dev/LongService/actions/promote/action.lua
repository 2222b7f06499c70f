-- A new value lets one step of an update pass.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["bayplan.dev/promote"] = os.date("!%Y%m%d-%H%M%S")
return obj

-- What a person may ask of a LongService, by annotations that the operator takes into the status.
local actions = {}
local waits = false
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    if condition.type == "Progressing" and condition.reason == "StepReached" then
      waits = true
    end
  end
end
actions["restart"] = { displayName = "Restart", iconClass = "fa fa-fw fa-redo" }
actions["promote"] = { displayName = "Promote", iconClass = "fa fa-fw fa-fast-forward", disabled = not waits }
return actions

%% Lets an Erlang node find Ermine's nodes, and be found, without EPMD: a node's
%% port is 4370 plus the digits at the end of its short name. Compile it with erlc,
%% and start Erlang with
%%
%%   erl -start_epmd false -epmd_module ermine_epmd -pa DIR -name me9@10.0.0.8 ...
-module(ermine_epmd).
-export([start_link/0, register_node/2, register_node/3, names/1, address_please/3,
         port_please/2, port_please/3, listen_port_please/2]).

start_link() -> ignore.
register_node(Name, Port) -> register_node(Name, Port, inet).
register_node(_Name, _Port, _Family) -> {ok, 4 + rand:uniform(1 bsl 30)}.
names(_Host) -> {error, address}.
address_please(_Name, Host, Family) -> inet:getaddr(Host, Family).
port_please(Name, Host) -> port_please(Name, Host, infinity).
port_please(Name, _Host, _Timeout) -> {port, 4370 + offset(Name), 6}.
listen_port_please(Name, _Host) -> {ok, 4370 + offset(Name)}.

offset(Name) when is_atom(Name) -> offset(atom_to_list(Name));
offset(Name) ->
    [Short | _] = string:split(Name, "@"),
    case lists:takewhile(fun(C) -> C >= $0 andalso C =< $9 end, lists:reverse(Short)) of
        [] -> 0;
        Digits -> list_to_integer(lists:reverse(Digits)) rem 60000
    end.

#!/usr/bin/env escript
%% -*- coding: utf-8 -*-
%% Makes dist.bin.gz: what one Erlang node really sends to another.
%%
%%     escript dist.escript
%%
%% Two nodes are started that know each other's port without epmd; the one
%% that dials goes through a proxy in this script, which keeps what it sends.
%% Of that the handshake (frames with 2 bytes of length) is cut off, and ticks;
%% the rest is stored as it was: frames with 4 bytes of length, each with a
%% distribution header.
%%
%% The messages are {msg, N, Term, term_to_binary(Term)}, so that each says what
%% it has to be decoded as. They have more atoms than the atom cache has
%% entries, more than one header can name, and some longer than 255 bytes;
%% large ones are sent in fragments by two processes at a time, which +zdbbl
%% makes wait for each other.
%%
%% It was last run with OTP 25 (erts 13.1.5) on both sides.
-mode(compile).

main([]) ->
    Dir = filename:dirname(escript:script_name()),
    Tmp = string:trim(os:cmd("mktemp -d")),
    {ok, L} = gen_tcp:listen(0, [binary, {packet, raw}, {active, false}, {ip, {127,0,0,1}}]),
    {ok, Proxy} = inet:port(L),
    {ok, F} = gen_tcp:listen(0, [{ip, {127,0,0,1}}]),
    {ok, Free} = inet:port(F),
    gen_tcp:close(F),
    {ok, _} = compile_to(Tmp, golden_epmd, epmd()),
    {ok, _} = compile_to(Tmp, golden_talk, talk()),
    B = start(Tmp, "golden_b", Proxy, Free, ["-s", "golden_talk", "listen"]),
    receive {B, {data, D}} when D =/= <<>> -> ok after 20000 -> exit(no_start) end,
    A = start(Tmp, "golden_a", Proxy, 0, ["-s", "golden_talk", "talk"]),
    {ok, In} = gen_tcp:accept(L, 20000),
    {ok, Out} = gen_tcp:connect({127,0,0,1}, Free, [binary, {packet, raw}, {active, false}]),
    Self = self(),
    spawn_link(fun() -> Self ! {sent, pipe(In, Out, [])} end),
    spawn_link(fun() -> pipe(Out, In, []) end),
    Sent = receive {sent, S} -> S after 60000 -> exit(no_end) end,
    catch port_close(A),
    catch port_close(B),
    {_Name, Rest1} = frame2(Sent),
    {_Reply, Rest2} = frame2(Rest1),
    Frames = frames(Rest2, []),
    ok = file:write_file(filename:join(Dir, "dist.bin.gz"), zlib:gzip([<<(byte_size(X)):32, X/binary>> || X <- Frames])),
    io:format("~w frames~n", [length(Frames)]).

frame2(<<N:16, F:N/binary, Rest/binary>>) -> {F, Rest}.

frames(<<0:32, Rest/binary>>, Acc) -> frames(Rest, Acc);
frames(<<N:32, F:N/binary, Rest/binary>>, Acc) -> frames(Rest, [F | Acc]);
frames(_, Acc) -> lists:reverse(Acc).

pipe(From, To, Acc) ->
    case gen_tcp:recv(From, 0) of
        {ok, B} -> gen_tcp:send(To, B), pipe(From, To, [B | Acc]);
        _ -> gen_tcp:close(To), iolist_to_binary(lists:reverse(Acc))
    end.

start(Tmp, Name, Proxy, Port, Args) ->
    open_port({spawn_executable, os:find_executable("erl")},
              [binary, stderr_to_stdout,
               {env, [{"GOLDEN_PROXY", integer_to_list(Proxy)}, {"GOLDEN_PORT", integer_to_list(Port)}]},
               {args, ["+zdbbl", "1", "-noshell", "-noinput", "-name", Name ++ "@127.0.0.1", "-setcookie", "golden", "-pa", Tmp,
                       "-start_epmd", "false", "-epmd_module", "golden_epmd",
                       "-kernel", "inet_dist_use_interface", "{127,0,0,1}" | Args]}]).

compile_to(Dir, Name, Text) ->
    File = filename:join(Dir, atom_to_list(Name) ++ ".erl"),
    ok = file:write_file(File, unicode:characters_to_binary(["%% -*- coding: utf-8 -*-\n", Text])),
    compile:file(File, [report, {outdir, Dir}]).

epmd() ->
    "-module(golden_epmd).
     -compile(export_all).
     -compile(nowarn_export_all).
     start_link() -> ignore.
     register_node(_, _) -> {ok, 1}.
     register_node(_, _, _) -> {ok, 1}.
     listen_port_please(_, _) -> {ok, list_to_integer(os:getenv(\"GOLDEN_PORT\"))}.
     address_please(_, _, _) -> {ok, {127,0,0,1}, list_to_integer(os:getenv(\"GOLDEN_PROXY\")), 6}.
     names(_) -> {error, address}.".

talk() ->
    "-module(golden_talk).
     -export([listen/0, talk/0, sender/3]).
     listen() -> register(sink, self()), io:format(\"ready~n\"), sink().
     sink() -> receive {die, P} -> P ! dead, receive nodedown -> ok after 500 -> halt() end; _ -> sink() end.
     talk() ->
         rand:seed(exsss, 42),
         true = net_kernel:connect_node('golden_b@127.0.0.1'), % what is sent before is not cached
         [send(N, T) || {N, T} <- lists:enumerate(terms())],
         Ref = monitor(process, {sink, 'golden_b@127.0.0.1'}),
         demonitor(Ref),
         Ps = [spawn_monitor(?MODULE, sender, [self(), N, C]) || {N, C} <- [{1001, $x}, {2001, $y}]],
         [receive {'DOWN', R, process, P, normal} -> ok end || {P, R} <- Ps],
         send(3001, last),
         {sink, 'golden_b@127.0.0.1'} ! {die, self()},
         receive dead -> halt() after 10000 -> halt(1) end.
     sender(_, N, C) ->
         send(N, binary:copy(<<C>>, 150000)),
         send(N + 1, {small, C}),
         send(N + 2, [binary:copy(<<C>>, 70000), list_to_atom([$a, C]) | lists:duplicate(30000, {C, list_to_atom([$b, C])})]).
     send(N, T) -> {sink, 'golden_b@127.0.0.1'} ! {msg, N, T, term_to_binary(T)}.
     terms() ->
         [ok, hello, {hello, world}, self(), make_ref(), fun lists:map/2, fun(X) -> {local, X} end, long(),
          [long(), a, b], [list_to_atom(\"t\" ++ integer_to_list(I)) || I <- lists:seq(1, 300)]] ++
         [[some_atom(2200) || _ <- lists:seq(1, 40)] || _ <- lists:seq(1, 120)] ++
         [closure([some_atom(2200) || _ <- lists:seq(1, 5)]) || _ <- lists:seq(1, 10)].
     long() -> list_to_atom(lists:duplicate(200, 16#1F600)).
     some_atom(N) -> list_to_atom(\"t\" ++ integer_to_list(rand:uniform(N))).
     closure(V) -> F = fun(X) -> {X, V} end, #{f => fun(Y) -> F([Y | V]) end, v => V}.".
